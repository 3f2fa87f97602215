// Streams a file of PCM16 through openai's OpenAIRealtimeTranslationWS and prints what came, as JSON.
// Usage: node realtime.mjs BASE_URL KEY MODEL FILE RATE_HZ

import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import OpenAI from 'openai';
import { OpenAIRealtimeTranslationWS } from 'openai/realtime/translations/ws';

const [baseURL, apiKey, model, file, rateHz] = process.argv.slice(2);
const pcm = readFileSync(file);
const chunkBytes = (Number(rateHz) / 5) * 2; // 200 ms
const heard = { types: [], typed: 0, text: '', errors: [] };

const realtime = await OpenAIRealtimeTranslationWS.create(new OpenAI({ apiKey, baseURL, maxRetries: 0 }), { model });
realtime.on('error', (error) => heard.errors.push(error.message));
realtime.on('event', (event) => heard.types.push(event.type));
for (const type of ['session.created', 'session.closed']) realtime.on(type, () => (heard.typed += 1));
realtime.on('session.output_transcript.delta', (event) => {
  heard.typed += 1;
  heard.text += event.delta;
});

await once(realtime.socket.platformSocket, 'open');
for (let at = 0; at < pcm.length; at += chunkBytes) {
  const audio = pcm.subarray(at, at + chunkBytes).toString('base64');
  realtime.send({ type: 'session.input_audio_buffer.append', audio });
}
// Fails unless session.closed comes, and then a close frame with code 1000, 1001 or none.
await realtime.finish({ timeoutMs: 60_000 });
console.log(JSON.stringify(heard));
