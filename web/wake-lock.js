// Keeps the screen on while somebody is being translated, where the browser can. Invariant: held only while wanted.

export class WakeLock {
  constructor() {
    this.wanted = false;
    /** @type {WakeLockSentinel | null} */
    this.lock = null;
    // Browsers take it back when the page is hidden.
    document.addEventListener("visibilitychange", () => this.wanted && void this.hold());
  }

  async hold() {
    this.wanted = true;
    if (document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
    // Refused when the battery is low: no harm but a dark screen.
    this.lock = await navigator.wakeLock.request("screen").catch(() => null);
    if (!this.wanted) await this.release();
  }

  async release() {
    this.wanted = false;
    await this.lock?.release();
    this.lock = null;
  }
}
