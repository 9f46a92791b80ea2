//! Changes that are taken out and put in again, one by one, do together what they did.

use super::*;
use crate::cube::trace::Undone;

/// Takes `later` out of `all`, and gives what each of them does when it is put in again.
fn traced(all: &World, later: &[RegisterChange]) -> Vec<CubeDelta> {
    let persons: Vec<Person> =
        Batch::new(later.to_vec()).person_ids().iter().filter_map(|id| all.person(*id)).collect();
    let undone = Undone::new(later, persons);
    let held = undone.household_keys().iter().filter_map(|key| all.households.get(key));
    let households: Vec<Household> = held.map(|bytes| Household::from_bytes(bytes).expect("as written")).collect();
    let mut redo = undone.with_households(households);
    later.iter().map(|change| redo.step(change.clone())).collect()
}

fn summed(deltas: impl IntoIterator<Item = (CubeKey, i64)>) -> CubeDelta {
    deltas.into_iter().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_steps_of_what_came_later_add_up_to_the_difference(
        facts in any_facts(),
        is_later in proptest::collection::vec(any::<bool>(), 24),
    ) {
        let (mut earlier, mut later) = (Vec::new(), Vec::new());
        for (fact, is_later) in facts.iter().zip(is_later) {
            if is_later { &mut later } else { &mut earlier }.push(fact.clone());
        }
        let all = World::of(&facts);
        let before = World::of(&earlier);
        let rows = |world: &World, sign: i64| -> Vec<(CubeKey, i64)> {
            world.cube.iter().map(|(key, count)| (key.clone(), sign * count)).collect()
        };
        let difference = summed([rows(&all, 1), rows(&before, -1)].concat());
        let steps = traced(&all, &later);
        prop_assert_eq!(steps.len(), later.len());
        let steps = summed(steps.iter().flat_map(|delta| delta.iter().map(|(key, count)| (key.clone(), count))));
        prop_assert_eq!(steps, difference);
    }

    #[test]
    fn what_became_known_after_a_month_explains_what_was_known_then(facts in any_facts(), at in 0i32..40) {
        let at = month(202_001).add_months(at);
        let all = World::of(&facts);
        let later: Vec<RegisterChange> = facts.iter().filter(|fact| fact.fact().recorded() > at).cloned().collect();
        let told_apart = |key: &CubeKey| CubeKey { recorded: month(180_001), ..key.clone() };
        let steps = traced(&all, &later);
        let steps = steps.iter().flat_map(|delta| delta.iter().map(|(key, count)| (told_apart(key), count)));
        let then = summed(all.known(at).into_iter().chain(steps));
        prop_assert_eq!(then, summed(all.known(month(219_912))));
    }
}

#[test]
fn a_correction_takes_away_what_it_corrects() {
    let facts = [
        fact(0, "A", 0, 20_200_128, enrolled(None, Sex::Female, 198_001)),
        fact(1, "A", 20_200_205, 20_200_228, died(id(0))),
        fact(2, "A", 0, 20_200_528, retracted(id(0), id(1))),
    ];
    let steps = traced(&World::of(&facts), &facts[1..]);
    let deaths = |delta: &CubeDelta| -> i64 {
        delta.iter().filter(|(key, _)| key.measure == Measure::Deaths).map(|(_, count)| count).sum()
    };
    assert_eq!(steps.iter().map(deaths).collect::<Vec<_>>(), [1, -1]);
}
