// Ogg pages around Opus packets (RFC 3533, RFC 7845), one mono stream each way.

const CRC = new Uint32Array(256).map((_, index) => {
  let remainder = index << 24;
  for (let bit = 0; bit < 8; bit++) remainder = (remainder << 1) ^ (remainder & 0x80000000 ? 0x04c11db7 : 0);
  return remainder;
});

const BEGIN = 2; // header flag: first page of the stream
const CONTINUED = 1; // header flag: the first packet began on the page before
const HEADER = 27; // bytes of a page before its segment table

function checksum(page) {
  let crc = 0;
  for (const byte of page) crc = (crc << 8) ^ CRC[(crc >>> 24) ^ byte];
  return crc >>> 0;
}

function ascii(text) {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

function join(...arrays) {
  const whole = new Uint8Array(arrays.reduce((length, array) => length + array.length, 0));
  let place = 0;
  for (const array of arrays) {
    whole.set(array, place);
    place += array.length;
  }
  return whole;
}

/** Opus packets to pages. */
export class Muxer {
  #serial = Math.floor(Math.random() * 2 ** 32);
  #sequence = 0;
  #granule = 0; // samples at 48 kHz, whatever the encoder's rate

  /** The two pages before the first packet. preSkip: samples at 48 kHz; sampleRate: of the encoder's input. */
  headers(preSkip, sampleRate) {
    const head = new DataView(new ArrayBuffer(11));
    head.setUint8(0, 1); // version
    head.setUint8(1, 1); // channels
    head.setUint16(2, preSkip, true);
    head.setUint32(4, sampleRate, true); // then two bytes of gain and the channel mapping, all 0
    const vendor = ascii("voxtune");
    const tags = join(ascii("OpusTags"), Uint8Array.of(vendor.length, 0, 0, 0), vendor, new Uint8Array(4));
    return join(this.#page([join(ascii("OpusHead"), new Uint8Array(head.buffer))], BEGIN), this.#page([tags], 0));
  }

  /** A page of whole packets. samples: their length at 48 kHz. */
  page(packets, samples) {
    this.#granule += samples;
    return this.#page(packets, 0);
  }

  #page(packets, flags) {
    const lacing = packets.flatMap((packet) => [...Array(Math.floor(packet.length / 255)).fill(255), packet.length % 255]);
    const page = join(new Uint8Array(HEADER), Uint8Array.from(lacing), ...packets);
    const view = new DataView(page.buffer);
    page.set(ascii("OggS"));
    page[5] = flags;
    view.setBigInt64(6, BigInt(this.#granule), true);
    view.setUint32(14, this.#serial, true);
    view.setUint32(18, this.#sequence++, true);
    page[26] = lacing.length;
    view.setUint32(22, checksum(page), true);
    return page;
  }
}

/** Bytes of a stream, cut anywhere, to Opus packets. */
export class Demuxer {
  #bytes = new Uint8Array(0);
  #packet = new Uint8Array(0);
  #headers = 2;

  /** The packets that these bytes complete, without the stream's headers. Throws when they are no Ogg. */
  push(bytes) {
    this.#bytes = join(this.#bytes, bytes);
    const packets = [];
    for (let page = this.#next(); page; page = this.#next()) {
      if (!(page.flags & CONTINUED)) this.#packet = new Uint8Array(0);
      let place = 0;
      for (const length of page.lacing) {
        this.#packet = join(this.#packet, page.body.subarray(place, place + length));
        place += length;
        if (length < 255) {
          if (this.#headers) this.#headers--;
          else packets.push(this.#packet);
          this.#packet = new Uint8Array(0);
        }
      }
    }
    return packets;
  }

  #next() {
    const bytes = this.#bytes;
    if (bytes.length < HEADER || bytes.length < HEADER + bytes[26]) return null;
    if (String.fromCharCode(...bytes.subarray(0, 4)) !== "OggS") throw new Error("the server sent audio that is no Ogg");
    const lacing = bytes.subarray(HEADER, HEADER + bytes[26]);
    const begin = HEADER + lacing.length;
    const end = begin + lacing.reduce((sum, length) => sum + length, 0);
    if (bytes.length < end) return null;
    this.#bytes = bytes.subarray(end);
    return { flags: bytes[5], lacing, body: bytes.subarray(begin, end) };
  }
}
