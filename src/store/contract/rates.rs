//! What every count of calls has to keep.

use std::time::Duration;

use crate::{
    clock::{TestClock, Timestamp},
    config::CallRate,
    net::{LocalRates, Rates, Urgency},
};

const TEN: Option<CallRate> = Some(CallRate { calls: 10, per: Duration::from_secs(1) });

struct Suite<'a> {
    rates: &'a dyn Rates,
    wait: &'a dyn Fn(Duration),
}

impl Suite<'_> {
    async fn take(&self, name: &str, rate: Option<CallRate>, urgency: Urgency) -> Result<(), Duration> {
        self.rates.take(name, rate, urgency).await
    }

    /// How many calls are granted before one is not, of at most 100.
    async fn granted(&self, name: &str, rate: Option<CallRate>, urgency: Urgency) -> u32 {
        for number in 0..100 {
            if self.take(name, rate, urgency).await.is_err() {
                return number;
            }
        }
        100
    }
}

/// The contract of [`Rates`]. `wait` lets time pass.
pub(super) async fn rates(rates: &dyn Rates, wait: &dyn Fn(Duration)) {
    let suite = Suite { rates, wait };
    a_rate_is_a_seconds_worth_at_once_and_then_its_pace(&suite).await;
    background_work_leaves_the_last_part(&suite).await;
    a_refusal_holds_back_and_halves(&suite).await;
    nothing_is_limited_until_it_says_so(&suite).await;
}

/// What passes between two questions to a real Redis fills the bucket a little.
fn is_about(granted: u32, wanted: u32) -> bool {
    (wanted..=wanted + wanted / 4 + 1).contains(&granted)
}

async fn a_rate_is_a_seconds_worth_at_once_and_then_its_pace(suite: &Suite<'_>) {
    let granted = suite.granted("pace", TEN, Urgency::SignIn).await;
    assert!(is_about(granted, 10), "{granted}");
    let wait = suite.take("pace", TEN, Urgency::SignIn).await.unwrap_err();
    assert!(wait <= Duration::from_millis(101), "{wait:?}");
    assert_eq!(suite.take("another", TEN, Urgency::SignIn).await, Ok(()), "each for itself");
    (suite.wait)(Duration::from_millis(500));
    let granted = suite.granted("pace", TEN, Urgency::SignIn).await;
    assert!(is_about(granted, 5), "{granted}");
}

async fn background_work_leaves_the_last_part(suite: &Suite<'_>) {
    let background = suite.granted("drain", TEN, Urgency::Background).await;
    assert!(is_about(background, 7), "{background}");
    let sign_ins = suite.granted("drain", TEN, Urgency::SignIn).await;
    assert!((2..=4).contains(&sign_ins), "{sign_ins}");
    assert!(suite.take("drain", TEN, Urgency::Background).await.is_err());
}

async fn a_refusal_holds_back_and_halves(suite: &Suite<'_>) {
    let fifty = Some(CallRate { calls: 3000, per: Duration::from_mins(1) });
    assert_eq!(suite.take("busy", fifty, Urgency::SignIn).await, Ok(()));
    suite.rates.refused("busy", fifty, Duration::from_secs(1)).await;
    let wait = suite.take("busy", fifty, Urgency::SignIn).await.unwrap_err();
    assert!(wait > Duration::from_millis(800) && wait <= Duration::from_secs(1), "{wait:?}");
    // The answers to calls that left before say nothing new.
    suite.rates.refused("busy", fifty, Duration::from_secs(1)).await;
    (suite.wait)(wait + Duration::from_millis(300));
    let half = suite.granted("busy", fifty, Urgency::SignIn).await;
    assert!(is_about(half, 25), "{half}");
    // Step by step: 25, 27.5, 30 a second.
    (suite.wait)(Duration::from_secs(2));
    let more = suite.granted("busy", fifty, Urgency::SignIn).await;
    assert!(more > half && more < 50, "{half} {more}");
}

async fn nothing_is_limited_until_it_says_so(suite: &Suite<'_>) {
    assert_eq!(suite.granted("open", None, Urgency::Background).await, 100);
    suite.rates.refused("open", None, Duration::from_millis(300)).await;
    assert!(suite.take("open", None, Urgency::SignIn).await.is_err());
    (suite.wait)(Duration::from_millis(300));
    let half = suite.granted("open", None, Urgency::SignIn).await;
    assert!((40..=63).contains(&half), "half of what was too much: {half}");
}

#[tokio::test]
async fn a_process_keeps_the_contract_of_rates() {
    let clock = TestClock::at(Timestamp::from_seconds(1_800_000_000));
    rates(&LocalRates::new(clock.clone()), &|by| clock.advance(by)).await;
}
