// Runs in the audio thread: hears the microphone and plays what has come, sample by sample in step.

const CHUNK = 1024; // samples that are reported at once: whole quanta of 128
const CUSHION = 0.06; // seconds to wait with the first sound after a gap, so that the next one may be that late
const ENOUGH = 0.4; // seconds of buffer beyond which quiet moments are left out, to catch up after a stall
const TOO_MUCH = 1; // seconds of buffer beyond which the oldest is left out down to ENOUGH, quiet or not
const QUIET = 0.01;

class Conversation extends AudioWorkletProcessor {
  #muted = false;
  #open = false;
  #queue = []; // waveforms to play; the first one from #place on
  #place = 0;
  #buffered = 0; // samples in the queue
  #cushion = 0; // samples still to wait
  #skipped = 0; // samples that were left out
  #heard = new Float32Array(CHUNK);
  #said = new Float32Array(CHUNK);
  #filled = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if ("muted" in data) this.#muted = data.muted;
      if ("open" in data) this.#open = data.open;
      if (data.waveform) this.#take(data.waveform);
    };
  }

  #take(waveform) {
    if (!this.#buffered) this.#cushion = CUSHION * sampleRate;
    this.#queue.push(waveform);
    this.#buffered += waveform.length;
  }

  #read(target) {
    let filled = 0;
    while (filled < target.length && this.#queue.length) {
      const part = this.#queue[0].subarray(this.#place, this.#place + target.length - filled);
      target.set(part, filled);
      filled += part.length;
      this.#place += part.length;
      if (this.#place === this.#queue[0].length) {
        this.#queue.shift();
        this.#place = 0;
      }
    }
    this.#buffered -= filled;
  }

  #play(target) {
    if (this.#cushion > 0) {
      this.#cushion -= target.length;
      return;
    }
    const late = this.#buffered > TOO_MUCH * sampleRate;
    this.#read(target);
    while (this.#buffered > ENOUGH * sampleRate && (late || target.every((sample) => Math.abs(sample) < QUIET))) {
      this.#skipped += target.length;
      this.#read(target);
    }
  }

  process([input], [output]) {
    if (!this.#open) return true;
    const said = output[0];
    this.#play(said);
    this.#said.set(said, this.#filled);
    if (input.length && !this.#muted) this.#heard.set(input[0], this.#filled);
    else this.#heard.fill(0, this.#filled, this.#filled + said.length);
    this.#filled += said.length;
    if (this.#filled >= CHUNK) this.#report();
    return true;
  }

  #report() {
    const report = {
      heard: this.#heard,
      said: this.#said,
      buffered: this.#buffered / sampleRate,
      skipped: this.#skipped / sampleRate,
    };
    this.port.postMessage(report, [report.heard.buffer, report.said.buffer]);
    this.#heard = new Float32Array(CHUNK);
    this.#said = new Float32Array(CHUNK);
    this.#filled = 0;
  }
}

registerProcessor("conversation", Conversation);
