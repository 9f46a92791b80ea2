//! Findings in Vietnamese.

use super::FindingText;
use crate::finding::{FindingKind, name};

const NOT_COUNTED: &str =
    "Chừng nào chưa xử lý, bản ghi này không được tính vào bất kỳ số liệu nào, ở đây và ở mọi cấp trên.";

pub(super) fn text(kind: FindingKind) -> FindingText {
    let (what, why, next) = match kind {
        FindingKind::PersonUnknown => (
            "Bản ghi nói về một người mà không có gì cho biết người đó đến cư trú từ khi nào.",
            NOT_COUNTED,
            "Nhập sổ hộ gia đình, hoặc phiếu sinh hay phiếu chuyển đến của người đó; nếu bản ghi này sai, hãy hủy nó bằng phiếu `retract` với số của nó trong `refers_to`.",
        ),
        FindingKind::NotResident => (
            "Theo các bản ghi khác, lúc đó người này không cư trú tại đây: chưa đến, đã đi, hoặc đã mất.",
            NOT_COUNTED,
            "Nếu ngày sai, hãy sửa bằng phiếu `update` với số của phiếu này trong `refers_to`. Nếu bản ghi này sai, hãy hủy nó bằng phiếu `retract`. Nếu lần chuyển đi hay tử vong trước đó sai, hãy hủy phiếu đó.",
        ),
        FindingKind::AlreadyResident => (
            "Theo các bản ghi khác, lúc chuyển đến người này đã cư trú tại đây rồi.",
            "Nếu tính thì người này bị đếm hai lần; vì vậy lần chuyển đến này không được tính vào số liệu, ở đây và ở mọi cấp trên.",
            "Nếu báo cáo hai lần, hãy hủy phiếu sai bằng phiếu `retract` với số của nó trong `refers_to`. Nếu người đó đã chuyển đi trước đó, hãy nhập phiếu `move_out` còn thiếu.",
        ),
        FindingKind::CorrectsNothing => (
            "Phiếu sửa này chỉ tới một bản ghi không phải của người và đơn vị này.",
            "Chưa có gì được sửa: số liệu vẫn như khi chưa có phiếu này.",
            "Nhập lại phiếu sửa với số mới, đúng mã người và `refers_to`, rồi hủy phiếu này bằng phiếu `retract`.",
        ),
        FindingKind::DateInvalid => (
            "Bản ghi có ngày không tồn tại.",
            NOT_COUNTED,
            "Hủy nó bằng phiếu `retract` với số của nó trong `refers_to`, rồi nhập lại với số mới và ngày đúng.",
        ),
        FindingKind::EventAfterReport => (
            "Ngày xảy ra muộn hơn tháng ghi nhận.",
            NOT_COUNTED,
            "Sửa ngày bằng phiếu `update` với số của phiếu này trong `refers_to` và `event_date` đúng.",
        ),
        FindingKind::EventBeforeBirth => (
            "Ngày xảy ra trước tháng sinh của người này.",
            NOT_COUNTED,
            "Nếu ngày xảy ra sai, hãy sửa bằng phiếu `update` với số của phiếu này trong `refers_to`. Nếu ngày sinh sai, hãy sửa bằng phiếu `update` không có `refers_to`, với `birth_date` đúng.",
        ),
        FindingKind::KindUnknown => (
            "Nút nói điều này dùng phiên bản cũ chưa biết loại bản ghi này: nó được giữ lại, chuyển tiếp và chưa được tính ở đó.",
            "Đến lúc đó, số liệu của nút ấy và của các nút cấp trên cũng cũ như vậy còn thiếu bản ghi này.",
            "Không có gì phải sửa: người vận hành nút đó cập nhật phần mềm, rồi bản ghi sẽ được tính.",
        ),
        FindingKind::MonthUnknown => (
            "Bản ghi không cho biết sự việc xảy ra trong tháng nào.",
            "Nó vẫn được tính, vào một tháng được chọn thay: giữa năm, hoặc tháng ghi nhận. Số liệu theo tháng có thể sai.",
            "Nếu biết tháng, hãy bổ sung bằng phiếu `update` với số của phiếu này trong `refers_to` và `event_date` đúng.",
        ),
        // Those of rules have their texts in `messages::rules`.
        _ => return UNKNOWN,
    };
    FindingText { what, why, next }
}

pub(super) const UNKNOWN: FindingText = FindingText {
    what: "Nút nói điều này phát hiện ở bản ghi một điều mà phiên bản này không biết.",
    why: "Có thể bản ghi không được tính ở nút đó.",
    next: "Hãy cập nhật phần mềm của nút này.",
};

/// What to add for a finding that an answer settles.
pub(super) const ANSWER: &str = "Nếu bản ghi đúng như vậy, hãy trả lời và nêu lý do: `danso-admin finding answer CHANGE_ID MÃ --right --because \"LÝ DO\"`.";

pub(super) fn seen(of: &str) -> Option<&'static str> {
    Some(match of {
        name::EVENT_DATE => "ngày xảy ra",
        name::RECORDED => "ghi nhận trong tháng",
        name::BIRTH_MONTH => "sinh tháng",
        name::RESIDENT_SINCE => "cư trú ở đó từ",
        name::LEFT => "đã đi hoặc mất trong tháng",
        name::COUNTED_IN => "được tính vào tháng",
        name::LIVES_IN => "lúc đó cư trú tại đơn vị",
        name::AGE => "tuổi tròn",
        name::MONTHS_BETWEEN => "số tháng giữa hai lần",
        name::BOUND => "mốc thông thường",
        name::BIRTH_ORDER => "con thứ",
        name::BIRTH_ORDER_BEFORE => "lần sinh trước là con thứ",
        name::YEAR_BY_NUMBER => "năm sinh theo số định danh",
        name::YEAR_RECORDED => "năm sinh đã ghi",
        name::LUNAR_DATE => "hiểu là ngày âm lịch",
        name::SOLAR_DATE => "ngày dương lịch tương ứng",
        _ => return None,
    })
}
