//! How many analyses may be in progress at once, found out from how they fare.
//!
//! What is here is known from TCP and from Netflix's concurrency-limits (Gradient2, Vegas), Envoy's filter for adaptive
//! concurrency and brpc's limiter: more calls at once than a server or what is behind it can work on only make each other wait.
//! By Little's law, calls in progress divided by how many times slower than usual they are is what would suffice.
//!
//! Four things are different here, for the times of calls differ a thousandfold and most slowness is none of our making:
//!
//! 1. A call is compared with the usual time of **its own kind** ([`classes`]), and a slowdown counts when it is more than
//!    chance. Throttling counts as slowness: a model that refuses three of four calls makes an answer cost four calls.
//! 2. Every cut is a **trial**. If fewer calls at once do not make each of them faster, or throttled less, then their number was
//!    not the cause: the limit is what it was, and the new time is the usual one. So a model that gets slow, or whose quota
//!    others use up, costs a moment and no more.
//! 3. A server that refuses calls tries now and then whether fewer at once would be as many in the end. What was first seen
//!    under load, or crept up on it, is found out so (Envoy and BBR do the same).
//! 4. A flood is told from a burst and from callers who wait for their answers ([`surge`]), and cut short before it fills the
//!    places that are free.
//!
//! But for the last, nothing of this happens while less than half of the limit is used: then it goes back to the most.

mod classes;
mod evidence;
mod sample;
mod surge;
#[cfg(test)]
mod tests;

use std::time::Duration;

use classes::Classes;
use evidence::Evidence;
use surge::Surge;

/// How often the limit changes at most.
const WINDOW: Duration = Duration::from_millis(100);
/// How long it waits for enough calls to decide by.
const LONG_WINDOW: Duration = Duration::from_secs(1);
/// A strain above which the limit is cut, sooner or at once, and that which it is cut to.
const TOO_MUCH: f64 = 1.3;
const FAR_TOO_MUCH: f64 = 2.0;
const AIM: f64 = 1.2;
/// The most and the least that a cut leaves.
const CUT: (f64, f64) = (0.3, 0.75);
/// What a trial without a cause leaves.
const PROBE: f64 = 0.6;
/// Time from one such trial to the next: of a server that has seen nothing yet, of one that has seen little load, at last, and as
/// a multiple of what the trial took.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const CALM_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const PAUSE_PER_TRIAL: u32 = 20;
/// Calls by which a trial is judged: as many as the limit, within these bounds. One of so many is not waited for.
const COHORT: (f64, f64) = (32.0, 128.0);
const STRAGGLERS: u32 = 24;
/// So much fewer calls at once tell whether fewer help.
const CLEAR: f64 = 0.85;
/// Calls that are refused for one that is not, from which on the limit is worth a trial without a cause.
const PRESSED: f64 = 0.1;
/// The part of the limit that must be used for it to change, and from which on it is used up.
const BUSY: f64 = 0.5;
const FULL: f64 = 0.9;
/// In what time an unused limit goes back to the most, in seconds, and throttling that did not come of us is forgotten.
const RELAX: f64 = 10.0;
const FORGIVE: f64 = 120.0;

/// The limit. All times are since one and the same moment.
#[derive(Debug)]
pub(super) struct Limiter {
    floor: f64,
    most: f64,
    limit: f64,
    /// Counts cuts. Calls that began before the last one tell of another limit.
    round: u32,
    window: Window,
    evidence: Evidence,
    classes: Classes,
    trial: Option<Trial>,
    was_strained: bool,
    /// Strain that no trial was able to lower, through throttling.
    tolerated: f64,
    surge: Surge,
    next_probe: Duration,
    pause: Duration,
}

/// The state of things when a call began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    at: Duration,
    places: f64,
    round: u32,
    /// It is one of those that a trial is judged by.
    in_cohort: bool,
}

/// How a call ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::pipeline) enum End {
    /// A model answered. `paused` is the time that the call took of its own choice.
    Answered { kind: u64, paused: Duration },
    /// Its time was up before that.
    Silent { kind: u64, paused: Duration },
    /// In a way that says nothing of the load.
    Untold,
}

#[derive(Debug, Default)]
struct Window {
    since: Duration,
    /// The largest part of the limit that was used.
    peak: f64,
    /// Calls that began, and calls that were refused.
    begun: u32,
    refused: u32,
}

/// The limit was cut, to see whether that helps.
#[derive(Debug)]
struct Trial {
    since: Duration,
    /// The limit before; and of the calls that it was cut for, the places taken when they began, and the strain.
    limit: f64,
    places: f64,
    strain: f64,
    /// There was no strain to cut it for.
    is_probe: bool,
    /// The first calls under the new limit: how many are wanted, have begun and are over, and what they said. All are waited
    /// for, since those that end first are the short ones.
    cohort: u32,
    begun: u32,
    ended: u32,
    evidence: Evidence,
}

impl Limiter {
    /// A limit between `floor` and `most`, which it begins with: a server that has seen nothing yet turns nobody away that it
    /// has room for.
    pub(super) fn new(floor: usize, most: usize) -> Self {
        let most = most.max(1) as f64;
        Self {
            floor: (floor.max(1) as f64).min(most),
            most,
            limit: most,
            round: 0,
            window: Window::default(),
            evidence: Evidence::default(),
            classes: Classes::default(),
            trial: None,
            was_strained: false,
            tolerated: 1.0,
            surge: Surge::default(),
            next_probe: Duration::ZERO,
            pause: FIRST_PAUSE,
        }
    }

    /// The limit now.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// A call begins, with which `used` of the limit is taken: 1 is all of it.
    pub(super) fn begin(&mut self, now: Duration, used: f64) -> Begun {
        self.turn(now, used);
        self.window.begun += 1;
        self.surge.came(now);
        let trial = self.trial.as_mut().filter(|trial| trial.begun < trial.cohort);
        let in_cohort = trial.map(|trial| trial.begun += 1).is_some();
        Begun { at: now, places: used * self.limit, round: self.round, in_cohort }
    }

    /// A call was refused, since the limit is used up.
    pub(super) fn refused(&mut self, now: Duration) {
        self.window.refused += 1;
        self.surge.came(now);
        self.turn(now, 1.0);
    }

    /// A call is over, while `used` of the limit is taken, its own place included; `throttled` of its attempts were too many
    /// for a model.
    pub(super) fn ended(&mut self, now: Duration, used: f64, begun: Begun, throttled: u32, end: End) {
        if begun.round == self.round {
            let after = |paused| now.saturating_sub(begun.at).saturating_sub(paused).as_secs_f64();
            if throttled > 0 {
                self.learn(begun, |evidence| evidence.throttled(begun.places, throttled));
            }
            match end {
                End::Answered { kind, paused } => self.answered(now, used, begun, kind, after(paused)),
                // That says something if others take less.
                End::Silent { kind, paused } => {
                    if let Some(ratio) =
                        self.classes.usual(kind).map(|usual| after(paused) / usual).filter(|ratio| *ratio > 1.0)
                    {
                        self.learn(begun, |evidence| evidence.silent(begun.places, ratio));
                    }
                }
                End::Untold => {}
            }
            if let Some(trial) = self.trial.as_mut().filter(|_| begun.in_cohort) {
                trial.ended += 1;
            }
        }
        self.turn(now, used);
    }

    fn answered(&mut self, now: Duration, used: f64, begun: Begun, kind: u64, took: f64) {
        let usual = self.classes.usual(kind);
        self.learn(begun, |evidence| evidence.answered(begun.places, usual.map(|usual| took / usual)));
        if let Some(usual) = usual {
            self.surge.ended(now, took, usual);
            self.stem(now, used * self.limit);
        }
        if self.trial.is_none() {
            let busy = self.window.refused > 0 || self.window.peak.max(used) >= FULL;
            self.classes.take_in(now, kind, took);
            self.classes.learn(now, kind, busy);
        } else if begun.in_cohort {
            self.classes.take_in(now, kind, took);
        }
    }

    fn learn(&mut self, begun: Begun, what: impl Fn(&mut Evidence)) {
        what(&mut self.evidence);
        if let Some(trial) = self.trial.as_mut().filter(|_| begun.in_cohort) {
            what(&mut trial.evidence);
        }
    }

    fn turn(&mut self, now: Duration, used: f64) {
        self.window.peak = self.window.peak.max(used);
        let time = now.saturating_sub(self.window.since);
        let is_enough = self.evidence.is_enough();
        if time < WINDOW || (time < LONG_WINDOW && !is_enough) {
            return;
        }
        let Window { peak, refused, begun, .. } =
            std::mem::replace(&mut self.window, Window { since: now, ..Window::default() });
        let seconds = time.as_secs_f64();
        self.surge.get_used_to(seconds, begun.saturating_add(refused), peak * self.limit);
        self.tolerated = 1.0 + (self.tolerated - 1.0) * (-seconds / FORGIVE).exp();
        if peak < BUSY && refused == 0 {
            self.relax(now, seconds);
        } else if let Some(trial) = &self.trial {
            if trial.ended + trial.cohort / STRAGGLERS >= trial.cohort {
                self.judge(now);
            }
        } else if is_enough && self.is_strained() {
            self.cut(now);
        } else if refused > 0 || peak >= FULL {
            let may_probe = is_enough && f64::from(refused) > f64::from(begun) * PRESSED;
            self.press_on(now, may_probe);
        }
        if is_enough {
            self.evidence = Evidence::default();
        }
    }

    /// Whether there is certainly too much strain, twice in a row unless it is great: of thousands of windows some look bad by
    /// chance.
    fn is_strained(&mut self) -> bool {
        let strain = self.evidence.sure_strain() / self.tolerated;
        let was_strained = std::mem::replace(&mut self.was_strained, strain > TOO_MUCH);
        strain > FAR_TOO_MUCH || (was_strained && strain > TOO_MUCH)
    }

    fn strain(&self, evidence: &Evidence) -> f64 {
        evidence.strain() / self.tolerated
    }

    /// Little is used.
    fn relax(&mut self, now: Duration, seconds: f64) {
        if let Some(trial) = self.trial.take() {
            self.limit = if trial.is_probe { trial.limit } else { self.limit };
            self.classes.restart(now);
        }
        self.limit += (self.most - self.limit) * (1.0 - (-seconds / RELAX).exp());
        self.limit = if self.most - self.limit < 1.0 { self.most } else { self.limit };
        self.pause = CALM_PAUSE;
        self.next_probe = now + CALM_PAUSE;
    }

    /// Cuts the limit when a flood comes in, though most of its places may be free still.
    fn stem(&mut self, now: Duration, places: f64) {
        if self.trial.is_none()
            && let Some(enough) = self.surge.enough(places)
        {
            let strain = places / enough.max(1.0);
            self.try_out(now, enough * AIM, (places, strain), false);
        }
    }

    /// What would suffice by Little's law, and a little more.
    fn cut(&mut self, now: Duration) {
        let (places, strain) = self.seen();
        let enough = places.min(self.limit) / strain.max(1.0) * AIM;
        let to = enough.clamp(self.limit * CUT.0, self.limit * CUT.1);
        self.try_out(now, to, (places, strain), false);
    }

    /// Places taken when the calls since the last decision began, and their strain.
    fn seen(&self) -> (f64, f64) {
        (self.evidence.places(), self.strain(&self.evidence))
    }

    /// Cuts the limit for what was [seen](Self::seen).
    fn try_out(&mut self, now: Duration, limit: f64, (places, strain): (f64, f64), is_probe: bool) {
        let limit = limit.max(self.floor);
        if limit >= self.limit {
            return;
        }
        self.trial = Some(Trial {
            since: now,
            limit: self.limit,
            places,
            strain,
            is_probe,
            cohort: limit.clamp(COHORT.0, COHORT.1) as u32,
            begun: 0,
            ended: 0,
            evidence: Evidence::default(),
        });
        self.limit = limit;
        self.round = self.round.wrapping_add(1);
        self.surge.restart();
        self.classes.restart(now);
        self.evidence = Evidence::default();
    }

    /// Whether the trial helped: where calls wait for each other, a part of them waits a part of the time.
    fn judge(&mut self, now: Duration) {
        let Some(Trial { since, limit, places, strain, is_probe, evidence, .. }) = self.trial.take() else { return };
        let fewer = (evidence.places() / places).min(1.0);
        let is_clear = fewer < CLEAR;
        let is_vain = self.strain(&evidence) > strain * (1.0 + fewer) / 2.0;
        // What calls take while they are fewer is what they take, if a trial was for that, or when it is not for their number.
        if is_clear && (is_probe || is_vain) {
            self.classes.adopt(now);
        }
        match (is_probe, is_clear && !is_vain) {
            // Fewer at once are as many in the end. Perhaps still fewer are.
            (true, true) => self.next_probe = now,
            (true, false) => {
                self.limit = limit;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.next_probe = now + self.pause.max((now.saturating_sub(since)) * PAUSE_PER_TRIAL);
            }
            // The cause lies elsewhere.
            (false, false) if is_clear => {
                self.tolerated *= (evidence.attempts() / self.tolerated).max(1.0);
                self.limit = limit;
            }
            (false, _) => {}
        }
        self.classes.restart(now);
        self.evidence = Evidence::default();
    }

    /// More calls come than may, and no harm is seen.
    fn press_on(&mut self, now: Duration, may_probe: bool) {
        if may_probe && now >= self.next_probe && self.limit > self.floor {
            self.try_out(now, self.limit * PROBE, self.seen(), true);
        } else if self.strain(&self.evidence) < AIM {
            self.limit = (self.limit + self.limit.sqrt()).min(self.most);
        }
    }
}
