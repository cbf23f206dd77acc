// The whole conversation as a stereo wav: left the model, right the one who talks with it.

import { RATE } from "./opus.js";

const CHUNKS_PER_PART = 500; // then the browser may move them out of memory

/** Grows with the conversation. */
export class Recording {
  #parts = [];
  #chunks = [];

  get empty() {
    return !this.#parts.length && !this.#chunks.length;
  }

  /** Add what was said and heard at the same time, the same number of samples. */
  push(said, heard) {
    const chunk = new DataView(new ArrayBuffer(4 * said.length));
    const put = (place, sample) => chunk.setInt16(place, Math.max(-1, Math.min(1, sample)) * 32767, true);
    for (let index = 0; index < said.length; index++) {
      put(4 * index, said[index]);
      put(4 * index + 2, heard[index]);
    }
    this.#chunks.push(chunk.buffer);
    if (this.#chunks.length === CHUNKS_PER_PART) this.#parts.push(new Blob(this.#chunks.splice(0)));
  }

  /** Hand the file to the user. */
  save() {
    const body = new Blob([...this.#parts, ...this.#chunks]);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([header(body.size), body], { type: "audio/wav" }));
    link.download = `conversation-${new Date().toISOString().slice(0, 19).replaceAll(":", "-")}.wav`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }
}

function header(bytes) {
  const view = new DataView(new ArrayBuffer(44));
  const ascii = (place, text) => [...text].forEach((letter, index) => view.setUint8(place + index, letter.charCodeAt(0)));
  ascii(0, "RIFF");
  view.setUint32(4, 36 + bytes, true);
  ascii(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of the format
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 2, true); // channels
  view.setUint32(24, RATE, true);
  view.setUint32(28, 4 * RATE, true); // bytes a second
  view.setUint16(32, 4, true); // bytes of a pair of samples
  view.setUint16(34, 16, true); // bits of a sample
  ascii(36, "data");
  view.setUint32(40, bytes, true);
  return view.buffer;
}
