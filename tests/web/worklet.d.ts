// What an audio thread has besides what the page has; `lib.dom.d.ts` leaves it out.

declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}

declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;
