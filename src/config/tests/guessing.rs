//! What one of several processes may grant by itself.

use std::time::Duration;

use crate::config::{AccountLimit, Guessing, Rate, Storm};

const MINUTE: Duration = Duration::from_mins(1);

#[test]
fn a_share_is_of_every_limit_that_processes_have_together() {
    let all = Guessing::default();
    let third = Guessing {
        account: AccountLimit { failures: 3, ..all.account.clone() },
        address: Rate { tries: 10, per: MINUTE },
        storm: Storm { address: Rate { tries: 1, per: MINUTE }, ..all.storm.clone() },
        ..all.clone()
    };
    assert_eq!(all.share(3), third);
    assert_eq!((all.share(1), all.share(0)), (all.clone(), all));
}

#[test]
fn a_share_of_less_than_one_try_is_one_in_a_longer_time() {
    let all = Guessing::default();
    assert_eq!(all.share(7).storm.address, Rate { tries: 1, per: Duration::from_secs(140) });
    assert_eq!(all.share(7).address, Rate { tries: 4, per: MINUTE });
    assert_eq!(all.share(90).address, Rate { tries: 1, per: 3 * MINUTE });
    assert_eq!(all.share(90).account.failures, 1, "somebody can sign in at each of them");
}

#[test]
fn all_together_grant_an_address_no_more_than_one_would() {
    let all = Guessing::default();
    for replicas in 1..=100 {
        let share = all.share(replicas);
        for (share, all) in [(share.address, all.address), (share.storm.address, all.storm.address)] {
            // Tries in the time of both spans.
            let together = u128::from(share.tries * replicas) * all.per.as_nanos();
            assert!(
                together <= u128::from(all.tries) * share.per.as_nanos(),
                "{replicas}: {share:?} of {all:?}"
            );
        }
    }
}
