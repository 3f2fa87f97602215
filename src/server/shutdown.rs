//! One signal to stop, and a wait for everything that still runs. axum forgets connections that became websockets;
//! whoever holds a [`TaskTrackerToken`] is not forgotten.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// For the last words to those who are cut off.
const FAREWELL: Duration = Duration::from_secs(2);

/// Shared by all listeners and streams of a server. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    begun_at: Arc<OnceLock<Instant>>,
    overdue: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// Nothing stops yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to come to an end: listeners accept no more, streams say good-bye.
    pub fn begin(&self) {
        self.begun_at.get_or_init(Instant::now);
        self.begun.cancel();
    }

    /// Whether the server is stopping.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// How long ago; zero if nothing stops yet.
    pub fn begun_for(&self) -> Duration {
        self.begun_at.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// Waits until the server stops.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until those who have not come to an end in time are cut off.
    pub async fn overdue(&self) {
        self.overdue.cancelled().await;
    }

    /// What is waited for, as long as it lives. A websocket's handler takes it before it answers the upgrade and moves it
    /// into the stream's task.
    pub fn hold(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Begins, if nobody has, and waits until nobody holds a token, for `deadline` at the longest and a second or two in
    /// which those who are cut off are told.
    ///
    /// # Errors
    /// How many were cut off.
    pub async fn complete(&self, deadline: Duration) -> Result<(), usize> {
        self.begin();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok() {
            return Ok(());
        }
        let late = self.tasks.len();
        self.overdue.cancel();
        // Those who are there are told; nobody else is left.
        let _ = tokio::time::timeout(FAREWELL, self.tasks.wait()).await;
        Err(late)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_holds_a_token_is_waited_for_but_not_for_ever() {
        let shutdown = Shutdown::new();
        let (quick, slow) = (shutdown.hold(), shutdown.hold());
        let other = shutdown.clone();
        tokio::spawn(async move {
            other.begun().await;
            drop(quick);
            other.overdue().await;
            drop(slow);
        });
        assert!(!shutdown.has_begun());
        assert_eq!(shutdown.complete(Duration::from_millis(50)).await, Err(1));
        assert!(shutdown.has_begun());
        assert_eq!(shutdown.complete(Duration::from_secs(5)).await, Ok(()));
    }
}
