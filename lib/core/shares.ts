/**
 * Who of several nodes tries a pending spec first, so that they do not race for the same ones: each
 * spec ranks the nodes by rendezvous hashing (highest random weight; Thaler and Ravishankar, 1998).
 * Nodes that know the same names come to the same ranking, and a node that comes or goes moves only
 * its own share. All of it is a preference and decides nothing: that is the lease's part.
 */
import type { Candidate } from "./candidates.ts";

/** A candidate, and what it is to this node. */
export interface Preference {
  readonly candidate: Candidate;
  /** It is in this node's share. */
  readonly own: boolean;
  /**
   * It is in another node's share, and somebody may well be trying it right now: that node, since it
   * is among its oldest, or a third one that is nearer to it than this one.
   */
  readonly contested: boolean;
}

/** So many of the oldest of its share are what a node is about to try. */
const ABOUT_TO_BE_TRIED = 2;
/**
 * What is older by so much than this node's own oldest is anybody's: the node whose share it is in is
 * busy with something long, or has left unseen.
 */
const OVERDUE_MS = 60_000;

/** What a node has to do with a spec, by the ranking that the spec's id gives. */
interface Place {
  /** Index of the node that ranks first. */
  readonly owner: number;
  /** How many nodes come before this one. */
  readonly rank: number;
}

/** The shares of one node and its peers. */
export class Shares {
  readonly #node: string;
  #nodes: readonly string[] = [];
  /** Of the node itself first. */
  #hashes: readonly number[];
  /** By id; of the last candidates only. */
  #places = new Map<string, Place>();

  /** @param node the node's name; it is alone until `among` says otherwise */
  constructor(node: string) {
    this.#node = node;
    this.#hashes = [hashOf(node)];
  }

  /** Takes the names of all nodes; that of this node may be missing. */
  among(nodes: readonly string[]): void {
    if (nodes.length === this.#nodes.length && nodes.every((name, i) => name === this.#nodes[i])) {
      return;
    }
    this.#nodes = nodes;
    this.#hashes = [this.#node, ...nodes.filter((name) => name !== this.#node)].map(hashOf);
    this.#places = new Map();
  }

  /**
   * Candidates in the order in which this node should try them: what is overdue, then its own share
   * in order of age, then what the other nodes have left. Of that the uncontested comes first, and
   * then the youngest, since the nodes that it belongs to begin with the oldest.
   *
   * @param candidates in order of age
   */
  inOrderOfPreference(candidates: readonly Candidate[]): Preference[] {
    if (this.#hashes.length === 1) {
      return candidates.map((candidate) => ({ candidate, own: true, contested: false }));
    }
    // Specs times nodes are too many to go through at every poll: most specs were there before.
    const before = this.#places;
    this.#places = new Map();
    const inShare = this.#hashes.map(() => 0);
    const own: Candidate[] = [];
    const left: { candidate: Candidate; rank: number; contested: boolean }[] = [];
    for (const candidate of candidates) {
      const place = before.get(candidate.id) ?? placeOf(hashOf(candidate.id), this.#hashes);
      this.#places.set(candidate.id, place);
      const { owner, rank } = place;
      const contested = ++inShare[owner] <= ABOUT_TO_BE_TRIED || rank > 1;
      if (rank === 0) own.push(candidate);
      else left.push({ candidate, rank, contested });
    }
    const nextMs = (own.at(0) ?? candidates.at(-1))?.lastModifiedMs ?? 0;
    const isOverdue = ({ candidate }: { candidate: Candidate }) =>
      nextMs - candidate.lastModifiedMs > OVERDUE_MS;
    const overdue = left.filter(isOverdue).sort((a, b) => a.rank - b.rank);
    const others = left.filter((one) => !isOverdue(one)).reverse()
      .sort((a, b) => Number(a.contested) - Number(b.contested) || a.rank - b.rank);
    return [
      ...overdue.map(({ candidate }) => ({ candidate, own: false, contested: false })),
      ...own.map((candidate) => ({ candidate, own: true, contested: false })),
      ...others.map(({ candidate, contested }) => ({ candidate, own: false, contested })),
    ];
  }
}

/** Which node ranks first for a spec, and how many come before the first of the list. */
function placeOf(spec: number, nodes: readonly number[]): Place {
  const weight = mixed(spec ^ nodes[0]);
  let owner = 0;
  let ownerWeight = weight;
  let rank = 0;
  for (let index = 1; index < nodes.length; index++) {
    const other = mixed(spec ^ nodes[index]);
    if (other > weight) rank++;
    if (other > ownerWeight) {
      owner = index;
      ownerWeight = other;
    }
  }
  return { owner, rank };
}

/** FNV-1a over UTF-16 code units, 32 bits. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash;
}

/** The finalizer of MurmurHash3, 32 bits: every bit of the input tells on every bit of the result. */
function mixed(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
