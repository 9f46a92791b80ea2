//! Roll-ups of the cube follow the unit lists: when another list is among those that are rolled up, the sums of the units above are made for it
//! from those of single units. The people in them do not matter for how long that takes, only the units and the months.

use std::collections::BTreeMap;

use danso_core::rollup::{raise, rolled};
use danso_core::units::{UnitList, UnitLists};

use super::Error;
use crate::store::Tx;

/// Brings the sums of units above to the lists that are known now, and gives the lists that sums are kept for.
///
/// # Errors
/// When the store fails.
pub(super) async fn follow<'a>(tx: &mut Tx, lists: &'a UnitLists) -> Result<Vec<&'a UnitList>, Error> {
    let lists = rolled(lists);
    let kept = tx.rollup_lists().await?;
    let versions: Vec<&str> = lists.iter().map(|list| list.version()).collect();
    if kept == versions {
        return Ok(lists);
    }
    let new = tx.rollup_lists_put(&versions).await?;
    let new: Vec<&UnitList> =
        lists.iter().copied().filter(|list| new.iter().any(|new| new == list.version())).collect();
    let mut after = None;
    while !new.is_empty() {
        let single = tx.rollup_single(after.as_ref()).await?;
        let Some((last, _)) = single.last() else { break };
        after = Some(last.clone());
        let mut above = BTreeMap::new();
        for list in &new {
            single.iter().for_each(|(key, sums)| raise(list, key, sums, &mut above));
        }
        tx.rollup_add(above).await?;
    }
    Ok(lists)
}
