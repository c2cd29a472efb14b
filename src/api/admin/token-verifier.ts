import { createHash, timingSafeEqual } from "node:crypto";
import type { TokenRow } from "../../model/control/rows.ts";
import type { Clock } from "../../platform/clock.ts";
import { AdminError } from "./admin-error.ts";
import { tokenFits } from "./tokens.ts";

/**
 * Different bearers that wait for their turn, the one being hashed included. One at a time: at most one thread of the pool is
 * taken.
 */
const MAX_WAITING = 32;
/**
 * Wrong bearers that may be hashed in a row, and how long it takes until one more may: of one token from one address, and in all.
 */
const PER_SENDER = { burst: 8, refillMs: 2_000 };
const OVERALL = { burst: 24, refillMs: 250 };
/** Tokens whose right bearer is remembered, and senders of wrong ones. The least recently used goes first. */
const MAX_REMEMBERED = 1000;

/**
 * Tells whether a bearer is the one of a stored token, without letting wrong ones cost more than a little: each is an Argon2
 * hash. After a right one was seen, any other bearer of that token is wrong without hashing; before that, hashes are done one at
 * a time, off the event loop, and only so many wrong ones per time. Who then comes is told to try again, right or wrong.
 * Allowances are by token and address, so that who guesses does not lock out the owner elsewhere.
 */
export class TokenVerifier {
  readonly #clock: Clock;
  /** SHA-256 of the right bearer, by the stored hash that it fits. A token's hash never changes. */
  readonly #right = new Map<string, Buffer>();
  /** Wrong bearers by token and address. */
  readonly #wrong = new Map<string, Allowance>();
  readonly #overall: Allowance;
  /** Answers under way, by token and bearer: many requests with one bearer wait for one hash. */
  readonly #pending = new Map<string, Promise<boolean>>();
  #last: Promise<unknown> = Promise.resolve();

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
    this.#overall = new Allowance(OVERALL, clock);
  }

  /** @param from  the address that the bearer came from. @throws AdminError TooManyRequests */
  async fits(token: TokenRow, bearer: string, from: string): Promise<boolean> {
    const digest = createHash("sha256").update(bearer).digest();
    const right = this.#right.get(token.hash);
    if (right) {
      remember(this.#right, token.hash, right);
      return timingSafeEqual(digest, right);
    }
    const name = `${token.id} ${digest.toString("base64")}`;
    const known = this.#pending.get(name);
    if (known) return known;
    const sender = `${token.id} ${from}`;
    if (this.#pending.size >= MAX_WAITING || !this.#allowed(sender)) throw busy();
    const answer = this.#last.then(() => this.#hash(token, bearer, digest, sender));
    this.#pending.set(name, answer);
    this.#last = answer.catch(() => undefined).finally(() => this.#pending.delete(name));
    return answer;
  }

  #allowed(sender: string): boolean {
    return !this.#overall.empty && !this.#wrong.get(sender)?.empty;
  }

  async #hash(token: TokenRow, bearer: string, digest: Buffer, sender: string): Promise<boolean> {
    const right = this.#right.get(token.hash);
    if (right) return timingSafeEqual(digest, right);
    // Those before it in the queue may have used up what was left when it came.
    if (!this.#allowed(sender)) throw busy();
    if (await tokenFits(bearer, token.hash)) {
      remember(this.#right, token.hash, digest);
      return true;
    }
    const wrong = this.#wrong.get(sender) ?? new Allowance(PER_SENDER, this.#clock);
    for (const allowance of [wrong, this.#overall]) allowance.take();
    remember(this.#wrong, sender, wrong);
    return false;
  }
}

/** So many at once, and one more after each `refillMs`. */
class Allowance {
  readonly #burst: number;
  readonly #refillMs: number;
  readonly #clock: Clock;
  #left: number;
  #atMs: number;

  constructor({ burst, refillMs }: { readonly burst: number; readonly refillMs: number }, clock: Clock) {
    this.#burst = burst;
    this.#refillMs = refillMs;
    this.#clock = clock;
    this.#left = burst;
    this.#atMs = clock.monotonicMs();
  }

  get empty(): boolean {
    const nowMs = this.#clock.monotonicMs();
    this.#left = Math.min(this.#burst, this.#left + (nowMs - this.#atMs) / this.#refillMs);
    this.#atMs = nowMs;
    return this.#left < 1;
  }

  take(): void {
    this.#left -= 1;
  }
}

function remember<T>(map: Map<string, T>, name: string, value: T): void {
  map.delete(name);
  map.set(name, value);
  if (map.size > MAX_REMEMBERED) map.delete(map.keys().next().value as string);
}

function busy(): AdminError {
  return new AdminError("TooManyRequests", "too many wrong admin tokens were sent; try again in a few seconds");
}
