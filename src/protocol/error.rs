//! A failure to what it is called on the wire: one table for all dialects. Invariant: a close code after which clients
//! reconnect by themselves (1001) stands only where a new connection helps.

use super::FailureKind;

/// What a failure is called on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Codes {
    /// `error.type` of the native dialect, whose words are OpenAI's.
    pub error_type: &'static str,
    /// `error.code` of the native dialect, and the reason in the close frame.
    pub code: &'static str,
    /// Code of the close frame: RFC 6455 §7.4.1, or a number of our own from 4000.
    pub close: u16,
    /// Code and reason of the close frame for a client that speaks Deepgram.
    pub deepgram: (u16, &'static str),
}

impl FailureKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::InvalidMessage,
        Self::UnsupportedData,
        Self::UndecodableAudio,
        Self::TooLarge,
        Self::SlowReader,
        Self::Idle,
        Self::Expired,
        Self::Internal,
    ];

    /// The table.
    pub fn codes(self) -> Codes {
        const CLIENT: &str = "invalid_request_error";
        let (error_type, code, close) = match self {
            Self::InvalidMessage => (CLIENT, "invalid_message", 1008),
            Self::UnsupportedData => (CLIENT, "unsupported_data", 1003),
            Self::UndecodableAudio => (CLIENT, "undecodable_audio", 1003),
            Self::TooLarge => (CLIENT, "message_too_large", 1009),
            Self::SlowReader => (CLIENT, "slow_reader", 1008),
            Self::Idle => (CLIENT, "idle_timeout", 4031),
            Self::Expired => (CLIENT, "session_expired", 1001),
            Self::Internal => ("server_error", "internal_error", 1011),
        };
        let deepgram = match self {
            Self::UndecodableAudio => (1008, "DATA-0000"),
            Self::Internal => (1011, "NET-0000"),
            Self::Idle => (1011, "NET-0001"),
            _ => (close, code),
        };
        Codes { error_type, code, close, deepgram }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6455 §7.4.1 and §7.4.2: what a server may put in a close frame, and how long its reason may be.
    #[test]
    fn close_frames_are_legal() {
        let legal = |code: u16| matches!(code, 1000 | 1001 | 1003 | 1007..=1014 | 4000..=4999) && code != 1010;
        for kind in FailureKind::ALL {
            let codes = kind.codes();
            assert!(legal(codes.close), "{kind:?}");
            assert!(legal(codes.deepgram.0), "{kind:?}");
            assert!(codes.code.len() <= 123 && codes.deepgram.1.len() <= 123, "{kind:?}");
        }
    }

    #[test]
    fn every_kind_has_a_code_of_its_own() {
        let mut codes: Vec<&str> = FailureKind::ALL.iter().map(|kind| kind.codes().code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), FailureKind::ALL.len());
    }

    /// The SDKs reconnect after these, which must not repeat what the client did wrong.
    #[test]
    fn no_fault_of_the_client_invites_to_reconnect() {
        let recoverable = [1001, 1005, 1006, 1011, 1012, 1013, 1015];
        let helped = |kind: &FailureKind| recoverable.contains(&kind.codes().close);
        let helped: Vec<FailureKind> = FailureKind::ALL.into_iter().filter(helped).collect();
        assert_eq!(helped, [FailureKind::Expired, FailureKind::Internal]);
    }

    /// `proto/README.md` shows the table to people who write clients.
    #[test]
    fn the_table_is_documented() {
        let readme = include_str!("../../proto/README.md");
        for kind in FailureKind::ALL {
            let Codes { error_type, code, close, deepgram } = kind.codes();
            let row = format!("| `{code}` | `{error_type}` | {close} | {} `{}` |", deepgram.0, deepgram.1);
            assert!(readme.contains(&row), "proto/README.md lacks the row {row}");
        }
    }
}
