//! The URL of Deepgram's `/v1/listen` to options. Invariant: what cannot be honoured is refused if the audio depends on
//! it, and ignored otherwise, as Deepgram ignores what it does not know.

use crate::{
    audio::Encoding,
    protocol::{
        Source, StreamOptions,
        query::{Query, QueryError},
    },
};

/// What of the URL concerns the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wishes {
    /// Guesses, with `is_final: false`.
    pub(super) interim_results: bool,
    /// `SpeechStarted`.
    pub(super) vad_events: bool,
    /// `UtteranceEnd`.
    pub(super) utterance_end: bool,
    /// `speech_final: true` at the end of an utterance.
    pub(super) endpointing: bool,
}

pub(super) fn parse(query: &[(String, String)]) -> Result<(Wishes, Encoding, StreamOptions), QueryError> {
    let query = Query(query);
    let encoding = encoding(query)?;
    let interim_results = query.flag("interim_results")?;
    let range = 1000..=5000;
    let utterance_end = query.number::<u32>("utterance_end_ms", |ms| range.contains(ms), "1000 to 5000")?.is_some();
    let wishes = Wishes {
        interim_results,
        vad_events: query.flag("vad_events")?,
        utterance_end,
        endpointing: endpointing(query)?,
    };
    let options = StreamOptions {
        model: query.get("model").map(str::to_owned),
        source: Source::Audio(encoding),
        k: None,
        source_language: query.get("language").map(primary_language),
        target_language: query.get("target_language").map(primary_language),
        tentative: interim_results,
    };
    Ok((wishes, encoding, options))
}

/// Without `encoding` the bytes say themselves what they are.
fn encoding(query: Query<'_>) -> Result<Encoding, QueryError> {
    let raw = || {
        let missing = || QueryError::Missing { param: "sample_rate", allowed: "the rate of raw audio in Hz".into() };
        Ok((query.rate_hz("sample_rate")?.ok_or_else(missing)?, query.channels()?))
    };
    match query.get("encoding") {
        Some("linear16") => raw().map(|(rate_hz, channels)| Encoding::Pcm16 { rate_hz, channels }),
        Some("linear32") => raw().map(|(rate_hz, channels)| Encoding::F32 { rate_hz, channels }),
        None | Some("flac" | "opus" | "ogg-opus") => Ok(Encoding::Container),
        Some(other) => {
            let allowed = "linear16, linear32, flac, opus and ogg-opus (both in Ogg), or none for audio in a container";
            Err(QueryError::invalid("encoding", other, allowed))
        }
    }
}

/// A number of milliseconds, which is not used (the pause that ends an utterance is the server's), or a flag.
fn endpointing(query: Query<'_>) -> Result<bool, QueryError> {
    match query.get("endpointing") {
        None => Ok(true),
        Some(value) if value.parse::<u32>().is_ok() => Ok(true),
        Some(value) => {
            query.flag("endpointing").map_err(|_| QueryError::invalid("endpointing", value, "milliseconds or false"))
        }
    }
}

/// `en` of `en-US`.
fn primary_language(tag: &str) -> String {
    tag.split('-').next().unwrap_or_default().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::query::pairs;

    fn options(query: &[(&str, &str)]) -> Result<StreamOptions, QueryError> {
        parse(&pairs(query)).map(|(_, _, options)| options)
    }

    #[test]
    fn encodings_are_read() {
        let encoding = |query: &[(&str, &str)]| parse(&pairs(query)).map(|(_, encoding, _)| encoding);
        assert_eq!(encoding(&[]), Ok(Encoding::Container));
        assert_eq!(encoding(&[("sample_rate", "16000")]), Ok(Encoding::Container));
        assert_eq!(encoding(&[("encoding", "ogg-opus")]), Ok(Encoding::Container));
        let linear16 = [("encoding", "linear16"), ("sample_rate", "16000"), ("channels", "2")];
        assert_eq!(encoding(&linear16), Ok(Encoding::Pcm16 { rate_hz: 16_000, channels: 2 }));
        let linear32 = [("encoding", "linear32"), ("sample_rate", "48000")];
        assert_eq!(encoding(&linear32), Ok(Encoding::F32 { rate_hz: 48_000, channels: 1 }));
    }

    #[test]
    fn what_the_audio_depends_on_is_refused_by_name() {
        let wrong = [
            (vec![("encoding", "mulaw"), ("sample_rate", "8000")], "encoding", "linear16, linear32"),
            (vec![("encoding", "linear16")], "sample_rate", "missing"),
            (vec![("encoding", "linear16"), ("sample_rate", "4000")], "sample_rate", "8000 to 192000"),
            (vec![("encoding", "linear16"), ("sample_rate", "16000"), ("channels", "6")], "channels", "1 or 2"),
            (vec![("interim_results", "yes")], "interim_results", "true or false"),
            (vec![("utterance_end_ms", "900")], "utterance_end_ms", "1000 to 5000"),
            (vec![("endpointing", "soon")], "endpointing", "milliseconds or false"),
        ];
        for (query, param, words) in wrong {
            let error = options(&query).unwrap_err();
            assert_eq!(error.param(), param);
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn wishes_are_read_and_the_rest_is_ignored() {
        let (wishes, _, options) =
            parse(&pairs(&[("model", "nova-3"), ("smart_format", "true"), ("diarize", "x")])).unwrap();
        assert_eq!(options.model.as_deref(), Some("nova-3"));
        assert!(!options.tentative);
        let quiet = Wishes { interim_results: false, vad_events: false, utterance_end: false, endpointing: true };
        assert_eq!(wishes, quiet);

        let all = [
            ("interim_results", "True"),
            ("vad_events", "true"),
            ("utterance_end_ms", "1000"),
            ("endpointing", "false"),
            ("language", "en-US"),
            ("target_language", "DE"),
        ];
        let (wishes, _, options) = parse(&pairs(&all)).unwrap();
        assert!(options.tentative);
        assert_eq!(options.source_language.as_deref(), Some("en"));
        assert_eq!(options.target_language.as_deref(), Some("de"));
        let loud = Wishes { interim_results: true, vad_events: true, utterance_end: true, endpointing: false };
        assert_eq!(wishes, loud);
    }
}
