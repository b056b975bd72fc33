use std::net::Ipv4Addr;

use futures_util::FutureExt as _;

use super::*;

const A: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const B: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

/// A different password for each number.
fn password(number: u32) -> Mac {
    let mut mac = [0; 32];
    mac[..4].copy_from_slice(&number.to_be_bytes());
    mac
}

/// Fails with passwords from `first` on, one after the other.
async fn fail(throttle: &Throttle, peer: IpAddr, username: &str, first: u32, times: u32) {
    for number in first..first + times {
        match throttle.turn(peer, username, &password(number)).await {
            Turn::Now(mut attempt) => attempt.failed(password(number)),
            other => panic!("{other:?}"),
        }
    }
}

/// How long the attempt waits for its turn.
async fn wait(throttle: &Throttle, peer: IpAddr, username: &str) -> Duration {
    let start = Instant::now();
    let turn = throttle.turn(peer, username, &password(u32::MAX)).await;
    assert!(matches!(turn, Turn::Now(_)), "{turn:?}");
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn the_first_failures_are_free_and_then_turns_come_further_and_further_apart() {
    let throttle = Throttle::default();
    let start = Instant::now();
    fail(&throttle, A, "u", 0, FREE + 1).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    for (number, distance) in [(100, FIRST), (101, FIRST * 2), (102, FIRST * 4)] {
        let start = Instant::now();
        fail(&throttle, A, "u", number, 1).await;
        let waited = start.elapsed();
        assert!(waited >= distance && waited < distance * 2, "{waited:?}");
    }
    fail(&throttle, A, "u", 1000, 20).await;
    let start = Instant::now();
    fail(&throttle, A, "u", 2000, 1).await;
    let waited = start.elapsed();
    assert!(waited >= BY_USER.largest && waited < BY_USER.largest * 2, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn other_users_are_hardly_delayed_and_other_addresses_not_at_all() {
    let throttle = Throttle::default();
    fail(&throttle, A, "guessed", 0, 50).await;
    assert!(wait(&throttle, A, "other").await <= BY_ADDRESS.largest);
    assert_eq!(wait(&throttle, B, "guessed").await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn guesses_under_way_count() {
    let throttle = Throttle::default();
    let mut turns = Vec::new();
    for number in 0..250 {
        let throttle = &throttle;
        let mut turn = Box::pin(async move { throttle.turn(A, "u", &password(number)).await });
        turns.push((turn.as_mut().now_or_never(), turn));
    }
    let count =
        |is: fn(&Turn<'_>) -> bool| turns.iter().filter(|(turn, _)| turn.as_ref().is_some_and(is)).count();
    assert_eq!(count(|turn| matches!(turn, Turn::Now(_))), FREE as usize);
    assert_eq!(count(|turn| matches!(turn, Turn::Never)), 250 - FREE as usize - BY_USER.most_waiting);
    // The same guesser has none left for another user.
    let other = throttle.turn(A, "v", &password(0)).now_or_never();
    assert!(other.is_none(), "it waits: {other:?}");
}

#[tokio::test(start_paused = true)]
async fn right_passwords_free_their_places_at_once() {
    let throttle = Throttle::default();
    let start = Instant::now();
    for number in 0..100 {
        let turn = throttle.turn(A, &format!("user {number}"), &password(number)).await;
        assert!(matches!(turn, Turn::Now(_)));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    let state = throttle.state();
    assert!(state.pairs.is_empty() && state.addresses.is_empty(), "nothing is remembered of them");
}

#[tokio::test(start_paused = true)]
async fn an_old_password_takes_no_turn_from_the_right_one() {
    let throttle = Throttle::default();
    // Five programs, each with a different one.
    for round in 0..3 {
        for program in 0..5 {
            let turn = throttle.turn(A, "u", &password(program)).await;
            match turn {
                Turn::Now(mut attempt) => attempt.failed(password(program)),
                Turn::KnownWrong => assert!(round > 1),
                Turn::Never => panic!("{turn:?}"),
            }
        }
    }
    let mut programs = Vec::new();
    for program in 0..5 {
        let throttle = &throttle;
        programs.push(Box::pin(async move { throttle.turn(A, "u", &password(program)).await }));
    }
    for program in &mut programs {
        assert!(program.as_mut().now_or_never().is_none(), "its answer is held back");
    }
    assert!(wait(&throttle, A, "u").await <= FIRST * 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_and_goes_away_leaves_its_turn_to_the_next() {
    let throttle = Throttle::default();
    fail(&throttle, A, "u", 0, 12).await;
    let mut first = Box::pin(throttle.turn(A, "u", &[1; 32]));
    let mut second = Box::pin(throttle.turn(A, "u", &[2; 32]));
    assert!(first.as_mut().now_or_never().is_none() && second.as_mut().now_or_never().is_none());
    drop(first);
    assert!(matches!(second.await, Turn::Now(_)));
}

#[tokio::test(start_paused = true)]
async fn time_forgives() {
    let throttle = Throttle::default();
    fail(&throttle, A, "u", 0, 2 * FREE - 2).await;
    tokio::time::advance(HALF_LIFE).await;
    assert_eq!(wait(&throttle, A, "u").await, Duration::ZERO);
    tokio::time::advance(HALF_LIFE * 40).await;
    assert_eq!(wait(&throttle, A, "u").await, Duration::ZERO);
    assert!(throttle.state().pairs.is_empty(), "and forgets");
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_and_the_worst_are_remembered() {
    let throttle = Throttle::default();
    fail(&throttle, A, "u", 0, 15).await;
    for bits in 0..3 * PAIRS as u32 {
        fail(&throttle, Ipv4Addr::from_bits(bits).into(), "u", 0, 1).await;
    }
    let state = throttle.state();
    assert!(state.pairs.len() <= PAIRS && state.addresses.len() <= ADDRESSES);
    assert!(state.pairs[&throttle.pair(A, "u")].failures() > FREE);
}

#[test]
fn one_network_of_ipv6_is_one_address() {
    let one: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(network(one), network("2001:db8::ffff:1".parse().unwrap()));
    assert_ne!(network(one), network("2001:db8:0:1::1".parse().unwrap()));
    assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), A);
}
