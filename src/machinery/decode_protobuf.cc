// The reading half of codec_protobuf.h.
#include <bit>
#include <vector>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/instant.h"
#include "machinery/raw_text.h"
#include "machinery/time.h"
#include "machinery/wire_fields.h"
#include "machinery/zero.h"

namespace keles {

uint64_t WireReader::varint() {
  uint64_t v = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    if (at_ >= s_.size()) break;
    const auto b = static_cast<unsigned char>(s_[at_++]);
    if (shift == 63 && b > 1) break;
    v |= uint64_t{b & 0x7Fu} << shift;
    if (b < 0x80) return v;
  }
  ok_ = false;
  at_ = s_.size();
  return 0;
}

uint32_t WireReader::tag() {
  const uint64_t t = varint();
  type_ = static_cast<int>(t & 7);
  const uint64_t number = t >> 3;
  if (!ok_ || number == 0 || number > 0x1FFFFFFF || type_ == 6 || type_ == 7 || type_ == 4) {
    ok_ = false;
    at_ = s_.size();
    return 0;
  }
  return static_cast<uint32_t>(number);
}

std::string_view WireReader::bytes() {
  const uint64_t n = varint();
  if (!ok_ || n > s_.size() - at_) {
    ok_ = false;
    at_ = s_.size();
    return {};
  }
  std::string_view out = s_.substr(at_, n);
  at_ += n;
  return out;
}

uint64_t WireReader::fixed64() {
  uint64_t v = 0;
  if (s_.size() - at_ < 8) {
    ok_ = false;
    at_ = s_.size();
    return 0;
  }
  std::memcpy(&v, s_.data() + at_, 8);
  at_ += 8;
  return v;
}

uint32_t WireReader::fixed32() {
  uint32_t v = 0;
  if (s_.size() - at_ < 4) {
    ok_ = false;
    at_ = s_.size();
    return 0;
  }
  std::memcpy(&v, s_.data() + at_, 4);
  at_ += 4;
  return v;
}

void WireReader::skip() {
  switch (type_) {
    case 0:
      varint();
      return;
    case 1:
      fixed64();
      return;
    case 2:
      bytes();
      return;
    case 3: {  // a group: up to its end, groups inside it included
      int depth = 1;
      while (ok_ && depth > 0) {
        const uint64_t t = varint();
        if (!ok_) return;
        type_ = static_cast<int>(t & 7);
        if (type_ == 3) {
          ++depth;
        } else if (type_ == 4) {
          --depth;
        } else if (type_ > 5) {
          ok_ = false;
        } else {
          skip();
        }
      }
      return;
    }
    case 5:
      fixed32();
      return;
    default:
      ok_ = false;
      at_ = s_.size();
  }
}

namespace {

class Decoder {
 public:
  Decoder(Arena& arena, bool copy) : arena_(arena), copy_(copy) {}

  // False on damaged bytes.
  bool message(const TypeDesc& t, std::string_view bytes, Value& out, int depth) {
    if (depth > kMaxProtobufDepth) return false;
    switch (t.form) {
      case Form::kObject:
        break;
      case Form::kItems:
        return items(bytes, out);
      default:
        return special(t, bytes, out, depth);
    }
    if (!out.is_map()) out = Value::map();
    return read_fields(t, t.wire, bytes, depth, [&](const FieldDesc& f, WireReader& r, int d) {
      return field(t, f, r, out, d);
    });
  }

 private:
  std::string_view text(std::string_view s) { return copy_ ? arena_.copy(s) : s; }

  bool field(const TypeDesc& t, const FieldDesc& f, WireReader& r, Value& out, int depth) {
    switch (f.cardinality) {
      case Cardinality::kSingle:
        return single(t, f, r, out, depth);
      case Cardinality::kList: {
        Value& list = out.get_or_add(arena_, f.name);
        if (!list.is_list()) list = Value::list();
        if (f.wrapped) return r.type() == 2 && items(r.bytes(), list);
        if (r.type() == 2 && is_packable(f.type)) return packed(f, r.bytes(), list);
        Value v;
        if (!element(f, r, v, depth)) return false;
        list.append(arena_, v);
        return true;
      }
      case Cardinality::kMap: {
        Value& map = out.get_or_add(arena_, f.name);
        if (!map.is_map()) map = Value::map();
        return r.type() == 2 && map_entry(f, r.bytes(), map, depth);
      }
    }
    return false;
  }

  bool single(const TypeDesc& t, const FieldDesc& f, WireReader& r, Value& out, int depth) {
    Value v;
    if (f.type == FieldType::kMessage) {
      // A message that comes twice is merged.
      if (Value* old = out.find(f.name)) v = *old;
    }
    if (!element(f, r, v, depth)) return false;
    if (v.is_null()) return true;
    // What is not a pointer is always on the wire: its zero means that it is not there.
    const bool explicit_presence = f.pointer || (t.proto3 && !f.oneof.empty());
    if (!explicit_presence && says_nothing(f, v)) return true;
    out.set(arena_, f.name, v);
    return true;
  }

  bool packed(const FieldDesc& f, std::string_view bytes, Value& list) {
    WireReader r(bytes);
    while (!r.done()) {
      Value v;
      if (f.type == FieldType::kDouble) {
        v = Value(std::bit_cast<double>(r.fixed64()));
      } else if (f.type == FieldType::kFloat) {
        v = Value(double{std::bit_cast<float>(r.fixed32())});
      } else {
        v = number(f, r.varint());
      }
      if (!r.ok()) return false;
      list.append(arena_, v);
    }
    return true;
  }

  bool map_entry(const FieldDesc& f, std::string_view bytes, Value& map, int depth) {
    std::string_view key;
    Value v;
    auto value = [&](WireReader& r) { return element(f, r, v, depth); };
    if (!read_map_entry(bytes, &key, value)) return false;
    if (v.is_null()) v = zero_value(f);
    // Keys come sorted: one above the last is new.
    const bool rising = map.empty() || map.members().back().key() < key;
    if (Value* old = rising ? nullptr : map.find(key)) {
      *old = v;
    } else {
      map.append_member(arena_, text(key), v);
    }
    return true;
  }

  Value number(const FieldDesc& f, uint64_t v) {
    switch (f.type) {
      case FieldType::kBool:
        return Value(v != 0);
      case FieldType::kInt32:
        return Value(int64_t{static_cast<int32_t>(v)});
      case FieldType::kUint32:
        return Value(int64_t{static_cast<uint32_t>(v)});
      case FieldType::kEnum: {
        auto n = static_cast<int32_t>(v);
        std::string_view name = f.enumeration->name_of(n);
        if (name.empty()) name = arena_.copy(std::to_string(n));
        return Value::string(name);
      }
      default:
        return Value(static_cast<int64_t>(v));
    }
  }

  bool element(const FieldDesc& f, WireReader& r, Value& v, int depth) {
    switch (f.type) {
      case FieldType::kDouble:
        if (r.type() != 1) return false;
        v = Value(std::bit_cast<double>(r.fixed64()));
        return r.ok();
      case FieldType::kFloat:
        if (r.type() != 5) return false;
        v = Value(double{std::bit_cast<float>(r.fixed32())});
        return r.ok();
      case FieldType::kBool:
      case FieldType::kInt32:
      case FieldType::kInt64:
      case FieldType::kUint32:
      case FieldType::kUint64:
      case FieldType::kEnum:
        if (r.type() != 0) return false;
        v = number(f, r.varint());
        return r.ok();
      default:
        break;
    }
    if (r.type() != 2) return false;
    std::string_view bytes = r.bytes();
    if (!r.ok()) return false;
    switch (f.type) {
      case FieldType::kString:
        v = Value::string(text(bytes));
        return true;
      case FieldType::kBytes:
        v = Value::string(arena_.copy(base64_encode(bytes)));
        return true;
      case FieldType::kMessage:
        return message(*f.message, bytes, v, depth + 1);
      default:
        return wrapper(f, bytes, v);
    }
  }

  // Quantity, Time, Duration, IntOrString, raw JSON: small messages that JSON writes as one value.
  bool wrapper(const FieldDesc& f, std::string_view bytes, Value& v) {
    WireReader r(bytes);
    int64_t first = 0, second = 0;
    std::string_view text_value;
    bool have_text = false;
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      if (r.type() == 2) {
        text_value = r.bytes();
        have_text = true;
      } else if (r.type() == 0) {
        (n == 1 ? first : second) = static_cast<int64_t>(r.varint());
      } else {
        r.skip();
      }
      if (!r.ok()) return false;
    }
    switch (f.type) {
      case FieldType::kQuantity:
        v = Value::string(text_value.empty() ? std::string_view("0") : text(text_value));
        return true;
      case FieldType::kTime:
      case FieldType::kMicroTime: {
        if (bytes.empty()) return true;
        Instant t{first, second};
        if (first < kFirstSecond || first > kLastSecond) return false;
        if (second < 0 || second > 999'999'999) return false;
        if (t == kZeroTime) return true;
        v = Value::string(
            arena_.copy(f.type == FieldType::kTime ? format_time(t) : format_micro_time(t)));
        return true;
      }
      case FieldType::kDuration:
        v = Value::string(arena_.copy(format_duration(Duration(first))));
        return true;
      case FieldType::kIntOrString:
        v = first == 1 ? Value::string(text(text_value))
                       : Value(int64_t{static_cast<int32_t>(second)});
        return true;
      case FieldType::kRaw: {
        if (!have_text || text_value.empty()) return true;
        if (kept_as_text(f) && is_json_object(text_value)) {
          v = Value::string(text(text_value));
          return true;
        }
        auto parsed = parse_json(arena_, text_value);
        if (!parsed.ok()) return false;
        v = *parsed;
        return true;
      }
      default:
        return false;
    }
  }

  bool items(std::string_view bytes, Value& out) {
    if (!out.is_list()) out = Value::list();
    WireReader r(bytes);
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      if (n == 1 && r.type() == 2) {
        out.append(arena_, Value::string(text(r.bytes())));
      } else {
        r.skip();
      }
      if (!r.ok()) return false;
    }
    return true;
  }

  bool special(const TypeDesc& t, std::string_view bytes, Value& out, int depth) {
    WireReader r(bytes);
    bool allows = false;
    Value schema, list = Value::list();
    while (!r.done()) {
      const uint32_t n = r.tag();
      if (!r.ok()) return false;
      const FieldDesc* f = t.find_number(static_cast<uint16_t>(n));
      if (r.type() == 0) {
        allows = r.varint() != 0;
      } else if (f == nullptr || r.type() != 2) {
        r.skip();
      } else if (f->cardinality == Cardinality::kList) {
        Value v;
        if (!element(*f, r, v, depth)) return false;
        list.append(arena_, v);
      } else if (!element(*f, r, schema, depth)) {
        return false;
      }
      if (!r.ok()) return false;
    }
    if (!schema.is_null()) {
      out = schema;
    } else if (t.form == Form::kSchemaOrBool) {
      out = Value(allows);
    } else {
      out = list;
    }
    return true;
  }

  Arena& arena_;
  bool copy_;
};

Status damaged(const TypeDesc& type) {
  return Status::bad_request("protobuf: cannot decode " + std::string(type.name) +
                             ": the bytes are damaged");
}

}  // namespace

Result<Document> decode_protobuf(const TypeDesc& type, std::string_view bytes,
                                 std::shared_ptr<const std::string> owner) {
  Document doc;
  doc.root = Value::map();
  if (!Decoder(doc.arena, owner == nullptr).message(type, bytes, doc.root, 0)) return damaged(type);
  if (owner != nullptr) doc.arena.adopt(std::move(owner));
  return doc;
}

Result<Document> decode_object_protobuf(const KindDesc& kind, std::string_view bytes,
                                        std::shared_ptr<const std::string> owner) {
  auto envelope = open_protobuf(bytes);
  if (!envelope.ok()) return envelope.status();
  Document doc;
  doc.root = Value::map();
  if (!kind.bare) {
    doc.root.set(doc.arena, "kind", Value::string(kind.kind));
    doc.root.set(doc.arena, "apiVersion", Value::string(kind.api_version()));
  }
  if (!Decoder(doc.arena, owner == nullptr).message(*kind.type, envelope->raw, doc.root, 0)) {
    return damaged(*kind.type);
  }
  if (owner != nullptr) doc.arena.adopt(std::move(owner));
  return doc;
}

}  // namespace keles
