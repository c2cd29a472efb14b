/**
 * CRCs of concatenations: crc(A ‖ B) from crc(A), crc(B) and the length of B. S3's full-object checksums of multipart uploads
 * need it, since the parts arrive apart and in any order.
 *
 * A CRC is the remainder of a polynomial over GF(2); appending n bits multiplies by x^n. So crc(A ‖ B) = crc(A) · x^(8·|B|) +
 * crc(B) mod P (initial and final inversions cancel out). Polynomials are held reflected, as the algorithms define them: the top
 * bit is x^0. 64 bits as two halves: BigInt is ten times slower, and a completion may combine 10,000 parts inside a state
 * machine.
 */
export class CrcCombiner {
  readonly #field: Field;
  /** x^(8·size) by size: most parts of an upload are equally long. */
  readonly #shifts = new Map<number, Poly>();

  constructor(algorithm: CrcAlgorithm) {
    this.#field = FIELDS[algorithm];
  }

  /** @param first, second  big-endian CRCs of 4 or 8 bytes. @param secondSizeBytes  how many bytes `second` covers. */
  combine(first: Uint8Array, second: Uint8Array, secondSizeBytes: number): Uint8Array {
    let shift = this.#shifts.get(secondSizeBytes);
    if (shift === undefined) {
      shift = powerOfX(this.#field, secondSizeBytes);
      if (this.#shifts.size >= MAX_SHIFTS) this.#shifts.clear();
      this.#shifts.set(secondSizeBytes, shift);
    }
    const moved = multiply(this.#field, toPoly(this.#field, first), shift);
    const other = toPoly(this.#field, second);
    return fromPoly(this.#field, { high: moved.high ^ other.high, low: moved.low ^ other.low });
  }
}

export type CrcAlgorithm = "CRC32" | "CRC32C" | "CRC64NVME";

/** Big-endian CRC of no bytes at all. */
export function emptyCrc(algorithm: CrcAlgorithm): Uint8Array {
  return new Uint8Array(FIELDS[algorithm].bits / 8);
}

export function isCrc(algorithm: string): algorithm is CrcAlgorithm {
  return Object.hasOwn(FIELDS, algorithm);
}

const MAX_SHIFTS = 64;

/** A reflected polynomial; a 32-bit one lies in `high`, so that the top bit of `high` is x^0 in both widths. */
interface Poly {
  readonly high: number;
  readonly low: number;
}

interface Field {
  readonly bits: 32 | 64;
  readonly modulus: Poly;
  /** x^(8·2^k), grown as lengths need them. */
  readonly powers: Poly[];
}

const FIELDS: Readonly<Record<CrcAlgorithm, Field>> = {
  CRC32: field(32, 0xedb88320, 0),
  CRC32C: field(32, 0x82f63b78, 0),
  CRC64NVME: field(64, 0x9a6c9329, 0xac4bc9b5),
};

function field(bits: 32 | 64, high: number, low: number): Field {
  // x^8: bit 8 from the top.
  return { bits, modulus: { high, low }, powers: [{ high: 1 << 23, low: 0 }] };
}

/** a · b mod P: for each power of x in b, add a · x^i; multiplying by x shifts right and folds what falls out. */
function multiply({ bits, modulus }: Field, a: Poly, b: Poly): Poly {
  let { high, low } = a;
  let sumHigh = 0;
  let sumLow = 0;
  for (let i = 0; i < bits; i++) {
    const set = i < 32 ? (b.high >>> (31 - i)) & 1 : (b.low >>> (63 - i)) & 1;
    if (set) {
      sumHigh ^= high;
      sumLow ^= low;
    }
    const out = bits === 32 ? high & 1 : low & 1;
    if (bits === 64) low = (low >>> 1) | (high << 31);
    high >>>= 1;
    if (out) {
      high ^= modulus.high;
      low ^= modulus.low;
    }
  }
  return { high: sumHigh, low: sumLow };
}

/** x^(8·sizeBytes) mod P by squaring. Sizes up to 2^53. */
function powerOfX(of: Field, sizeBytes: number): Poly {
  let result: Poly = { high: 1 << 31, low: 0 };
  for (let rest = sizeBytes, k = 0; rest > 0; rest = Math.floor(rest / 2), k++) {
    while (of.powers.length <= k) {
      const last = of.powers.at(-1) as Poly;
      of.powers.push(multiply(of, last, last));
    }
    if (rest % 2 === 1) result = multiply(of, result, of.powers[k] as Poly);
  }
  return result;
}

function toPoly({ bits }: Field, crc: Uint8Array): Poly {
  if (crc.byteLength * 8 !== bits) throw new RangeError(`a CRC of ${bits} bits has ${bits / 8} bytes, not ${crc.byteLength}`);
  const view = new DataView(crc.buffer, crc.byteOffset, crc.byteLength);
  return { high: view.getInt32(0), low: bits === 64 ? view.getInt32(4) : 0 };
}

function fromPoly({ bits }: Field, poly: Poly): Uint8Array {
  const out = new Uint8Array(bits / 8);
  const view = new DataView(out.buffer);
  view.setInt32(0, poly.high);
  if (bits === 64) view.setInt32(4, poly.low);
  return out;
}
