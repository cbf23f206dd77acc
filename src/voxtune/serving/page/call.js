// One conversation over the websocket: the message kinds of moshi.server.

import { RATE, Receiver, Sender } from "./opus.js";

const HANDSHAKE = 0;
const AUDIO = 1;
const TEXT = 2;
const METADATA = 4;
const ERROR = 5;
const PING = 6;
const PING_EVERY = 2000; // milliseconds

/**
 * Events, as methods of the listener: waiting(place), talking(), waveform(samples), text(piece), lag(seconds),
 * network(seconds), over(reason); over comes once and last.
 */
export class Call {
  /** Seconds of audio that were sent and received. */
  sent = 0;
  received = 0;

  #listener;
  #socket;
  #sender = null;
  #receiver = null;
  #reason = "The connection was lost.";
  #over = false;
  #timer;

  constructor(listener) {
    this.#listener = listener;
    const address = new URL("api/chat", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    this.#socket = new WebSocket(address);
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onmessage = ({ data }) => this.#take(new Uint8Array(data));
    this.#socket.onclose = () => this.#end();
    this.#timer = setInterval(() => this.#ping(), PING_EVERY);
  }

  /** Send what the microphone heard; before the handshake nobody listens. */
  push(waveform) {
    if (!this.#sender) return;
    this.sent += waveform.length / RATE;
    this.#sender.push(waveform);
  }

  /** Hang up. */
  close() {
    this.#reason = "";
    this.#end();
  }

  #take(message) {
    const payload = message.subarray(1);
    switch (message[0]) {
      case HANDSHAKE:
        return this.#begin();
      case AUDIO:
        return this.#hear(payload);
      case TEXT:
        return this.#listener.text(new TextDecoder().decode(payload));
      case METADATA:
        return this.#learn(JSON.parse(new TextDecoder().decode(payload)));
      case ERROR:
        return this.#fail(new Error(new TextDecoder().decode(payload)));
      case PING:
        return this.#listener.network((performance.now() - new DataView(payload.slice().buffer).getFloat64(0)) / 1000);
    }
  }

  #begin() {
    const failed = (error) => this.#fail(error);
    this.#receiver = new Receiver((waveform) => {
      this.received += waveform.length / RATE;
      this.#listener.waveform(waveform);
    }, failed);
    this.#sender = new Sender((bytes) => this.#send(AUDIO, bytes), failed);
    this.#listener.talking();
    this.#ping();
  }

  #hear(bytes) {
    try {
      this.#receiver?.push(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #learn(data) {
    if ("queue" in data) this.#listener.waiting(data.queue);
    if ("lag" in data) this.#listener.lag(data.lag);
  }

  #ping() {
    const time = new DataView(new ArrayBuffer(8));
    time.setFloat64(0, performance.now());
    this.#send(PING, new Uint8Array(time.buffer));
  }

  #send(kind, payload) {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    const message = new Uint8Array(1 + payload.length);
    message[0] = kind;
    message.set(payload, 1);
    this.#socket.send(message);
  }

  #fail(error) {
    this.#reason = error.message;
    this.#end();
  }

  #end() {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#timer);
    this.#socket.close();
    this.#sender?.close();
    this.#receiver?.close();
    this.#listener.over(this.#reason);
  }
}
