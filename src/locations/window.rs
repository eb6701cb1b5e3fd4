//! Questions to thousands of locations at once would need as many sockets: so many are under way at a time.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;

/// Questions of one request that are under way: a connection each, where the connections of a fleet are not kept.
pub const AT_ONCE: usize = 1000;
/// A question that takes longer makes room for another one, and goes on: who is silent keeps nobody else waiting.
pub const PATIENCE: Duration = Duration::from_millis(500);

/// Asks all of them; what they bring, in their order.
pub async fn ask_all<Q: Future>(questions: impl IntoIterator<Item = Q>) -> Vec<Q::Output> {
    join_all(in_turn(questions)).await
}

/// Asks all of them; what they bring, as it comes. What is still under way ends with the stream.
pub fn ask_any<Q: Future>(
    questions: impl IntoIterator<Item = Q>,
) -> impl Stream<Item = Q::Output> + Unpin {
    in_turn(questions).collect::<FuturesUnordered<_>>()
}

/// The questions, each of which waits for its turn.
fn in_turn<Q: Future>(
    questions: impl IntoIterator<Item = Q>,
) -> impl Iterator<Item = impl Future<Output = Q::Output>> {
    let questions: Vec<Q> = questions.into_iter().collect();
    // Few have no turns.
    let window = (questions.len() > AT_ONCE).then(|| Arc::new(Window::default()));
    questions.into_iter().map(move |question| {
        let window = window.clone();
        async move {
            match window {
                None => question.await,
                Some(window) => window.turn(question).await,
            }
        }
    })
}

/// For questions that are not all known when the first ones are asked.
#[derive(Debug)]
pub struct Window(Semaphore);

impl Default for Window {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Window {
    /// Asks when it is this question's turn.
    pub async fn turn<Q: Future>(&self, question: Q) -> Q::Output {
        // It is never closed.
        let permit = self.0.acquire().await;
        let mut question = pin!(question);
        if let Ok(answer) = tokio::time::timeout(PATIENCE, question.as_mut()).await {
            return answer;
        }
        drop(permit);
        question.await
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;
    use tokio::time::sleep;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// `len` questions of which every `nth` is silent for a minute. When the last of the others was answered, and how
    /// many were under way at most before anybody had been silent for long.
    async fn asked(len: usize, nth: usize) -> (Duration, usize) {
        let begun = Instant::now();
        let (underway, most, last) = (Cell::new(0), Cell::new(0), Cell::new(MS));
        let (underway, most, last) = (&underway, &most, &last);
        let questions = (0..len).map(|number| async move {
            underway.set(underway.get() + 1);
            if begun.elapsed() < PATIENCE {
                most.set(most.get().max(underway.get()));
            }
            let is_silent = number % nth == nth - 1;
            sleep(if is_silent { MS * 60_000 } else { MS * 50 }).await;
            underway.set(underway.get() - 1);
            if !is_silent {
                last.set(begun.elapsed());
            }
            number
        });
        let answers = ask_all(questions).await;
        assert!(answers.into_iter().eq(0..len), "in their order");
        (last.get(), most.get())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_under_way_at_a_time() {
        let (took, most) = asked(5000, usize::MAX).await;
        assert_eq!(most, AT_ONCE);
        assert!(took < MS * 300, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn few_are_asked_at_once() {
        let (took, most) = asked(AT_ONCE, 2).await;
        assert_eq!(most, AT_ONCE);
        assert!(took < MS * 60, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_silent_keeps_nobody_waiting_for_long() {
        let (took, most) = asked(5000, 2).await;
        assert_eq!(most, AT_ONCE);
        assert!(took < PATIENCE * 3, "{took:?}");
    }
}
