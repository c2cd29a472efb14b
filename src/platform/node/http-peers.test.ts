import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { networkOf, Peers } from "./http-peers.ts";

describe("who shares a share of the connections", () => {
  it("an IPv4 address alone, an IPv6 one with its /64", () => {
    for (const [address, name] of [
      ["192.0.2.7", "192.0.2.7"],
      ["::ffff:192.0.2.7", "192.0.2.7"],
      ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
      ["2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"],
      ["2001:db8::1", "2001:db8:0:0::/64"],
      ["2001:db8::5:6:7:8", "2001:db8:0:0::/64"],
      ["2001::5:6:7:8:9", "2001:0:0:5::/64"],
      ["::1", "0:0:0:0::/64"],
      ["fe80::1%eth0", "fe80:0:0:0::/64"],
      ["", ""],
    ] as const)
      assert.equal(networkOf(address), name, address);
  });

  it("who holds half of all leaves the last eighth to others; what is given back is free", () => {
    const peers = new Peers(16);
    const many = peers.of("192.0.2.1");
    for (let n = 0; n < 14; n++) {
      assert.ok(peers.hasRoomFor(many), `connection ${n}`);
      peers.add(many);
    }
    assert.ok(!peers.hasRoomFor(many));
    const other = peers.of("192.0.2.2");
    assert.ok(peers.hasRoomFor(other));
    peers.add(other);
    assert.equal(peers.of("::ffff:192.0.2.2"), other);
    peers.add(other);
    assert.ok(!peers.hasRoomFor(peers.of("192.0.2.3")));
    peers.remove(other);
    assert.ok(peers.hasRoomFor(peers.of("192.0.2.3")));
    peers.remove(other);
    assert.notEqual(peers.of("192.0.2.2"), other);
    assert.ok(!peers.hasRoomFor(many));
    peers.remove(many);
    assert.ok(peers.hasRoomFor(many));
  });
});
