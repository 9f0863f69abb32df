// Puts a track's objects into order: a FETCH of the past and streams of the live groups, which
// overtake each other when packets are lost.

/** Groups that may wait while an older one is late: ten seconds of the usual key frame interval. */
const GROUPS_MAX = 8;

/**
 * Emits objects by ascending group and id. With `whole`, a group is emitted from object 0 without
 * a hole or not at all; else what is missing is passed over.
 */
export class Sequencer {
  #emit;
  #whole;
  #groups = new Map();
  #current = -1;
  #next = 0;
  #started = false;
  #fetching = false;
  #pastOver = false;

  constructor(emit, whole) {
    this.#emit = emit;
    this.#whole = whole;
  }

  /**
   * The subscription is granted: the past up to `largest` is on its way, or has come already, or
   * there is none. Until then objects are only kept.
   */
  start(largest) {
    this.#started = true;
    this.#fetching = largest !== undefined && !this.#pastOver;
    if (largest) this.#current = largest.group;
    this.#advance();
  }

  /** The past is complete, or will not come. */
  endPast() {
    this.#pastOver = true;
    this.#fetching = false;
    this.#advance();
  }

  /** A live group's stream begins. */
  openGroup(group) {
    if (group >= this.#current) this.#group(group).open = true;
  }

  push(object) {
    if (object.group < this.#current) return;
    this.#group(object.group).objects.set(object.object, object);
    this.#advance();
  }

  /** A live group's stream is over. */
  endGroup(group) {
    if (group < this.#current) return;
    this.#group(group).open = false;
    this.#advance();
  }

  #group(id) {
    let group = this.#groups.get(id);
    if (!group) this.#groups.set(id, group = { objects: new Map(), open: false });
    return group;
  }

  #advance() {
    if (!this.#started || this.#groups.size === 0) return;
    if (this.#current < 0) this.#current = Math.min(...this.#groups.keys());
    for (;;) {
      const group = this.#groups.get(this.#current);
      if (group) this.#drain(group.objects);
      const later = [...this.#groups.keys()].filter((id) => id > this.#current);
      const late = later.length >= GROUPS_MAX;
      // A past that does not come must not hold up what is live for ever.
      if (later.length === 0 || (this.#fetching && !late)) return;
      this.#fetching = false;
      const broken = group && group.objects.size > 0;
      if (group?.open && !broken && !late) return;
      this.#groups.delete(this.#current);
      this.#current = Math.min(...later);
      this.#next = 0;
    }
  }

  #drain(objects) {
    while (objects.size > 0) {
      if (!objects.has(this.#next)) {
        if (this.#whole || this.#fetching) return;
        this.#next = Math.min(...objects.keys());
      }
      const object = objects.get(this.#next);
      objects.delete(this.#next);
      this.#next += 1;
      this.#emit(object);
    }
  }
}
