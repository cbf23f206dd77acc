// The page: what the user sees and presses. The conversation itself is in call.js, the sound in sound.js.

import { Call } from "./call.js";
import { Meter, Timeline, level } from "./meters.js";
import { RATE, supported } from "./opus.js";
import { Recording } from "./recording.js";
import { Sound } from "./sound.js";

const PAUSE = 2; // seconds without text after which a new line begins
const NUMBERS_EVERY = 500; // milliseconds

const element = (id) => document.getElementById(id);
const talk = element("talk");
const mute = element("mute");
const restart = element("restart");
const save = element("save");
const transcript = element("transcript");
const modelMeter = new Meter(document.querySelector("#model-voice .meter"));
const yourMeter = new Meter(document.querySelector("#your-voice .meter"));
const timeline = new Timeline(element("timeline"));

let sound = null; // while the microphone is in use
let call = null; // while there is a connection
let recording = new Recording();
let talked = 0; // seconds
let lastText = -Infinity; // when, in seconds of the conversation
let buffered = 0; // seconds that wait to be played
let leftOut = 0; // seconds that were not played, to catch up after a stall

function show(state, text) {
  document.body.dataset.state = state;
  element("status").textContent = text;
  talk.textContent = call ? "Stop" : "Start talking";
  talk.disabled = state === "asking";
  mute.disabled = restart.disabled = !call;
  save.disabled = recording.empty;
}

function complain(reason) {
  element("problem").textContent = reason;
  element("problem").hidden = !reason;
}

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

function milliseconds(seconds) {
  return `${Math.round(seconds * 1000)} ms`;
}

/** What sound.js reports: 21 ms of both sides. */
function report({ heard, said, buffered: waiting, skipped }) {
  const [modelLevel, yourLevel] = [level(said), level(heard)];
  modelMeter.show(modelLevel);
  yourMeter.show(yourLevel);
  timeline.push(modelLevel, yourLevel, heard.length / RATE);
  recording.push(said, heard);
  talked += heard.length / RATE;
  buffered = waiting;
  leftOut = skipped;
  call?.push(heard);
}

function numbers() {
  if (document.body.dataset.state !== "talking") return;
  element("delay").textContent = milliseconds(call.sent - call.received + buffered + sound.outputLatency);
  element("buffer").textContent = milliseconds(buffered);
  element("skipped").textContent = `${leftOut.toFixed(1)} s`;
  element("time").textContent = clock(talked);
  modelMeter.announce();
  yourMeter.announce();
  save.disabled = recording.empty;
}

function write(piece) {
  if (talked - lastText > PAUSE) {
    const line = document.createElement("p");
    line.append(document.createElement("time"), document.createElement("span"));
    line.firstChild.textContent = clock(talked);
    transcript.append(line);
    piece = piece.trimStart();
  }
  lastText = talked;
  transcript.lastChild.lastChild.textContent += piece;
  transcript.scrollTop = transcript.scrollHeight;
}

const listener = {
  waiting: (place) => show("waiting", place === 1 ? "Waiting: you are next" : `Waiting: place ${place} in line`),
  talking: () => {
    show("talking", "Connected");
    sound.start();
  },
  waveform: (samples) => sound.play(samples),
  text: write,
  lag: (seconds) => complain(seconds < 0.5 ? "" : `The model is too slow here: it is ${seconds} s behind.`),
  network: (seconds) => (element("network").textContent = milliseconds(seconds)),
  over: (reason) => {
    sound.close();
    sound = call = null;
    complain(reason);
    show(reason ? "lost" : "idle", reason ? "Connection lost" : "Ended");
  },
};

async function start() {
  complain("");
  show("asking", "Asking for the microphone");
  try {
    sound = await Sound.open(report);
  } catch (error) {
    complain(error.message);
    show("idle", "Ready");
    return;
  }
  sound.mute(mute.getAttribute("aria-pressed") === "true");
  recording = new Recording();
  talked = 0;
  lastText = -Infinity;
  transcript.replaceChildren();
  timeline.clear();
  call = new Call(listener);
  show("connecting", "Connecting");
}

talk.onclick = () => (call ? call.close() : start());
restart.onclick = () => {
  call?.close();
  start();
};
mute.onclick = () => {
  const muted = mute.getAttribute("aria-pressed") !== "true";
  mute.setAttribute("aria-pressed", muted);
  sound?.mute(muted);
};
save.onclick = () => recording.save();
window.onresize = () => timeline.draw();
setInterval(numbers, NUMBERS_EVERY);

async function prepare() {
  timeline.draw();
  const model = await (await fetch("api/model")).json();
  element("model").textContent = model.name;
  document.title = `${model.name} – voxtune`;
  talk.disabled = true;
  if (!window.isSecureContext) {
    complain(
      "Browsers give the microphone to pages over https and from localhost only. Open this page as localhost, or " +
        "start the server with --ssl-cert and --ssl-key.",
    );
  } else if (!navigator.mediaDevices?.getUserMedia) {
    complain("This browser gives pages no microphone.");
  } else if (!(await supported())) {
    complain("This browser cannot encode Opus (WebCodecs). Chrome and Edge from 94, Firefox from 130 and Safari 26 can.");
  } else {
    talk.disabled = false;
  }
}

prepare();
