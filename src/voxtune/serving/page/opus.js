// Opus in both directions: WebCodecs for the codec, our own Ogg for the container.

import { Demuxer, Muxer } from "./ogg.js";

/** Samples a second of everything on this page. Opus decoders give 48 kHz; the server takes any rate. */
export const RATE = 48000;
const PACKET = 960; // samples, 20 ms
const PACKETS_PER_PAGE = 2;
const LOOKAHEAD = 312; // samples that libopus is late by at 48 kHz
const ENCODING = {
  codec: "opus",
  sampleRate: RATE,
  numberOfChannels: 1,
  bitrate: 32000,
  opus: { frameDuration: 20000, application: "voip" },
};
const DECODING = { codec: "opus", sampleRate: RATE, numberOfChannels: 1 };

/** Whether this browser can do it. */
export async function supported() {
  if (!("AudioEncoder" in window && "AudioDecoder" in window)) return false;
  const answers = [AudioEncoder.isConfigSupported(ENCODING), AudioDecoder.isConfigSupported(DECODING)];
  return (await Promise.all(answers)).every((answer) => answer.supported);
}

/** Waveform to the bytes of an Ogg Opus stream. */
export class Sender {
  #muxer = new Muxer();
  #packets = [];
  #time = 0;
  #encoder;

  /** send: called with bytes, failed: with an error. */
  constructor(send, failed) {
    this.#encoder = new AudioEncoder({ output: (chunk) => this.#collect(chunk, send), error: failed });
    this.#encoder.configure(ENCODING);
    send(this.#muxer.headers(LOOKAHEAD, RATE));
  }

  /** Take any number of samples. */
  push(waveform) {
    const shape = { format: "f32", sampleRate: RATE, numberOfFrames: waveform.length, numberOfChannels: 1 };
    const audio = new AudioData({ ...shape, timestamp: this.#time, data: waveform });
    this.#encoder.encode(audio);
    audio.close();
    this.#time += (waveform.length / RATE) * 1e6;
  }

  close() {
    if (this.#encoder.state !== "closed") this.#encoder.close();
  }

  #collect(chunk, send) {
    const packet = new Uint8Array(chunk.byteLength);
    chunk.copyTo(packet);
    this.#packets.push(packet);
    if (this.#packets.length === PACKETS_PER_PAGE) send(this.#muxer.page(this.#packets.splice(0), PACKETS_PER_PAGE * PACKET));
  }
}

/** Bytes of an Ogg Opus stream to waveform. */
export class Receiver {
  #demuxer = new Demuxer();
  #time = 0;
  #decoder;

  /** play: called with waveforms at RATE, failed: with an error. */
  constructor(play, failed) {
    this.#decoder = new AudioDecoder({
      output: (audio) => {
        if (audio.sampleRate === RATE) {
          const waveform = new Float32Array(audio.numberOfFrames);
          audio.copyTo(waveform, { planeIndex: 0, format: "f32-planar" });
          play(waveform);
        } else {
          failed(new Error(`this browser decodes Opus to ${audio.sampleRate} Hz, not to ${RATE}`));
        }
        audio.close();
      },
      error: failed,
    });
    this.#decoder.configure(DECODING);
  }

  /** Take the next bytes. */
  push(bytes) {
    for (const data of this.#demuxer.push(bytes)) {
      this.#decoder.decode(new EncodedAudioChunk({ type: "key", timestamp: this.#time++, data }));
    }
  }

  close() {
    if (this.#decoder.state !== "closed") this.#decoder.close();
  }
}
