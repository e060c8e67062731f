// Whether decode_protobuf (decode_protobuf.cc) would take the bytes, without making a tree: the
// same walk by the same tables, rule by rule. A test holds the two against each other.
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/instant.h"
#include "machinery/raw_text.h"
#include "machinery/time.h"
#include "machinery/wire_fields.h"

namespace keles {
namespace {

class Checker {
 public:
  bool message(const TypeDesc& t, std::string_view bytes, int depth) {
    if (depth > kMaxProtobufDepth) return false;
    if (t.form == Form::kObject) {
      return read_fields(t, t.wire, bytes, depth, [this](const FieldDesc& f, WireReader& r, int d) {
        return field(f, r, d);
      });
    }
    return t.form == Form::kItems ? items(bytes) : special(t, bytes, depth);
  }

 private:
  bool field(const FieldDesc& f, WireReader& r, int depth) {
    if (f.cardinality == Cardinality::kMap) return r.type() == 2 && map_entry(f, r.bytes(), depth);
    if (f.cardinality == Cardinality::kList) {
      if (f.wrapped) return r.type() == 2 && items(r.bytes());
      if (r.type() == 2 && is_packable(f.type)) return packed(f, r.bytes());
    }
    return element(f, r, depth);
  }

  static void number(FieldType t, WireReader& r) {
    if (t == FieldType::kDouble) {
      r.fixed64();
    } else if (t == FieldType::kFloat) {
      r.fixed32();
    } else {
      r.varint();
    }
  }

  static bool packed(const FieldDesc& f, std::string_view bytes) {
    WireReader r(bytes);
    while (!r.done()) {
      number(f.type, r);
      if (!r.ok()) return false;
    }
    return true;
  }

  bool map_entry(const FieldDesc& f, std::string_view bytes, int depth) {
    std::string_view key;
    return read_map_entry(bytes, &key, [&](WireReader& r) { return element(f, r, depth); });
  }

  bool element(const FieldDesc& f, WireReader& r, int depth) {
    if (is_packable(f.type)) {
      const int type = f.type == FieldType::kDouble ? 1 : f.type == FieldType::kFloat ? 5 : 0;
      if (r.type() != type) return false;
      number(f.type, r);
      return r.ok();
    }
    if (r.type() != 2) return false;
    std::string_view bytes = r.bytes();
    if (!r.ok()) return false;
    if (f.type == FieldType::kString || f.type == FieldType::kBytes) return true;
    if (f.type == FieldType::kMessage) return message(*f.message, bytes, depth + 1);
    return wrapper(f, bytes);
  }

  bool wrapper(const FieldDesc& f, std::string_view bytes) {
    WireReader r(bytes);
    int64_t first = 0, second = 0;
    std::string_view text;
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      if (r.type() == 2) {
        text = r.bytes();
      } else if (r.type() == 0) {
        (n == 1 ? first : second) = static_cast<int64_t>(r.varint());
      } else {
        r.skip();
      }
      if (!r.ok()) return false;
    }
    switch (f.type) {
      case FieldType::kQuantity:
      case FieldType::kDuration:
      case FieldType::kIntOrString:
        return true;
      case FieldType::kTime:
      case FieldType::kMicroTime:
        return bytes.empty() || (first >= kFirstSecond && first <= kLastSecond && second >= 0 &&
                                 second <= 999'999'999);
      case FieldType::kRaw:
        if (kept_as_text(f) && is_json_object(text)) return true;
        return text.empty() || parse_json(scratch_, text).ok();
      default:
        return false;
    }
  }

  static bool items(std::string_view bytes) {
    WireReader r(bytes);
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      if (n == 1 && r.type() == 2) {
        r.bytes();
      } else {
        r.skip();
      }
      if (!r.ok()) return false;
    }
    return true;
  }

  bool special(const TypeDesc& t, std::string_view bytes, int depth) {
    WireReader r(bytes);
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      const FieldDesc* f = t.find_number(static_cast<uint16_t>(n));
      if (r.type() == 0) {
        r.varint();
      } else if (f == nullptr || r.type() != 2) {
        r.skip();
      } else if (!element(*f, r, depth)) {
        return false;
      }
      if (!r.ok()) return false;
    }
    return true;
  }

  Arena scratch_;
};

}  // namespace

bool is_protobuf_of(const TypeDesc& type, std::string_view bytes) {
  return Checker().message(type, bytes, 0);
}

}  // namespace keles
