// The microphone and the loudspeaker, through one worklet, so that both stay in step.

import { RATE } from "./opus.js";

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the address bar, then start again.",
  NotFoundError: "There is no microphone. Connect one, then start again.",
  NotReadableError: "The microphone is in use by another program, or switched off.",
};

/** The way from the microphone to the page and from the page to the loudspeaker. */
export class Sound {
  #context;
  #node;
  #stream;

  constructor(context, node, stream) {
    this.#context = context;
    this.#node = node;
    this.#stream = stream;
  }

  /** Ask for the microphone. report: called about 50 times a second once `start` was; see worklet.js. */
  static async open(report) {
    let stream;
    try {
      const wanted = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
      stream = await navigator.mediaDevices.getUserMedia({ audio: wanted });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    const context = new AudioContext({ sampleRate: RATE, latencyHint: "interactive" });
    await context.audioWorklet.addModule("worklet.js");
    const shape = { channelCount: 1, channelCountMode: "explicit", outputChannelCount: [1] };
    const node = new AudioWorkletNode(context, "conversation", shape);
    node.port.onmessage = ({ data }) => report(data);
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);
    await context.resume();
    return new Sound(context, node, stream);
  }

  /** Seconds from the worklet to the loudspeaker, as far as the browser knows. */
  get outputLatency() {
    return this.#context.baseLatency + (this.#context.outputLatency || 0);
  }

  start() {
    this.#node.port.postMessage({ open: true });
  }

  mute(muted) {
    this.#node.port.postMessage({ muted });
  }

  play(waveform) {
    this.#node.port.postMessage({ waveform }, [waveform.buffer]);
  }

  close() {
    for (const track of this.#stream.getTracks()) track.stop();
    this.#context.close();
  }
}
