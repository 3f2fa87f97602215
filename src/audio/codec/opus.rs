//! Opus packets → mono samples at 16 kHz: the codec that symphonia demuxes but does not decode (RFC 6716, RFC 7845).
//!
//! Opus codes time and frequency, not samples, and every decoder can give 16 kHz mono directly, which saves the resampler.
//! Invariant: what the encoder put before the first and after the last sample (pre-skip, end trim) is taken off.

use opus_pure::OpusDecoder as Engine;
use symphonia::core::audio::layouts::CHANNEL_LAYOUT_MONO;
use symphonia::core::audio::{AsGenericAudioBufferRef, AudioBuffer, AudioMut, AudioSpec, GenericAudioBufferRef};
use symphonia::core::codecs::CodecInfo;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions, FinalizeResult};
use symphonia::core::codecs::registry::{RegisterableAudioDecoder, SupportedAudioCodec};
use symphonia::core::errors::{Error, Result, decode_error, unsupported_error};
use symphonia::core::packet::PacketRef;

use super::super::SAMPLE_RATE_HZ;

/// A packet holds at most 120 ms (RFC 6716 §2.1.4).
const MAX_PACKET_SAMPLES: usize = SAMPLE_RATE_HZ as usize * 120 / 1000;

/// Opus counts time at 48 kHz whatever it codes (RFC 7845 §4).
const TICKS_PER_SAMPLE: u64 = 48_000 / SAMPLE_RATE_HZ as u64;

const INFO: CodecInfo = CodecInfo { short_name: "opus", long_name: "Opus", profiles: &[] };

pub(super) struct OpusDecoder {
    params: AudioCodecParameters,
    engine: Engine,
    /// Samples still to be dropped at the start.
    skip: usize,
    pcm: Vec<f32>,
    buffer: AudioBuffer<f32>,
}

impl OpusDecoder {
    fn decode_packet(&mut self, packet: &PacketRef<'_>) -> Result<()> {
        self.buffer.clear();
        if packet.data.is_empty() {
            return decode_error("opus: empty packet");
        }
        let len = self
            .engine
            .decode(packet.data, MAX_PACKET_SAMPLES, &mut self.pcm)
            .map_err(|_| Error::DecodeError("opus: invalid packet"))?;
        if self.pcm[..len].iter().any(|sample| !sample.is_finite()) {
            self.reset();
            return decode_error("opus: packet decodes to infinite samples");
        }
        let start = self.skip.min(len);
        self.skip -= start;
        // Rounded to the nearest sample: the trim is known to a third of one.
        let end = packet.trim_end.get().saturating_add(TICKS_PER_SAMPLE / 2) / TICKS_PER_SAMPLE;
        let kept = len - start - usize::try_from(end).unwrap_or(len).min(len - start);
        self.buffer.render_uninit(Some(kept));
        let pcm = &self.pcm[start..start + kept];
        self.buffer.copy_from_slice_interleaved(&pcm);
        Ok(())
    }
}

impl AudioDecoder for OpusDecoder {
    fn codec_info(&self) -> &CodecInfo {
        &INFO
    }

    fn reset(&mut self) {
        // Fails for no valid decoder, and this one was made from constants.
        let _ = self.engine.reset_state();
    }

    fn codec_params(&self) -> &AudioCodecParameters {
        &self.params
    }

    fn decode_ref(&mut self, packet: &PacketRef<'_>) -> Result<GenericAudioBufferRef<'_>> {
        self.decode_packet(packet)?;
        Ok(self.buffer.as_generic_audio_buffer_ref())
    }

    fn finalize(&mut self) -> FinalizeResult {
        FinalizeResult::default()
    }

    fn last_decoded(&self) -> GenericAudioBufferRef<'_> {
        self.buffer.as_generic_audio_buffer_ref()
    }
}

impl RegisterableAudioDecoder for OpusDecoder {
    fn try_registry_new(params: &AudioCodecParameters, _: &AudioDecoderOptions) -> Result<Box<dyn AudioDecoder>> {
        if params.channels.as_ref().is_some_and(|channels| channels.count() > 2) {
            return unsupported_error("opus: more than two channels");
        }
        let (pre_skip_ticks, gain_q8) = params.extra_data.as_deref().and_then(read_head).unwrap_or((0, 0));
        let mut engine =
            Engine::new(SAMPLE_RATE_HZ as i32, 1).map_err(|_| Error::Unsupported("opus: 16 kHz mono output"))?;
        engine.gain_q8 = i32::from(gain_q8);
        Ok(Box::new(Self {
            params: params.clone(),
            engine,
            skip: usize::from(pre_skip_ticks) / TICKS_PER_SAMPLE as usize,
            pcm: vec![0.0; MAX_PACKET_SAMPLES],
            buffer: AudioBuffer::new(AudioSpec::new(SAMPLE_RATE_HZ, CHANNEL_LAYOUT_MONO), MAX_PACKET_SAMPLES),
        }))
    }

    fn supported_codecs() -> &'static [SupportedAudioCodec] {
        &[SupportedAudioCodec { id: CODEC_ID_OPUS, info: INFO }]
    }
}

/// Pre-skip and output gain of an identification header (RFC 7845 §5.1: both to be applied by the player).
fn read_head(head: &[u8]) -> Option<(u16, i16)> {
    let field = |at: usize| Some([*head.get(at)?, *head.get(at + 1)?]);
    let (pre_skip, gain) = (field(10)?, field(16)?);
    // Version 0 is the `dOps` box of an mp4, big-endian; Ogg and Matroska have version 1, little-endian.
    Some(if head[8] == 0 {
        (u16::from_be_bytes(pre_skip), i16::from_be_bytes(gain))
    } else {
        (u16::from_le_bytes(pre_skip), i16::from_le_bytes(gain))
    })
}
