#include "machinery/codec_protobuf.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/field_slots.h"
#include "machinery/instant.h"
#include "machinery/raw_text.h"
#include "machinery/time.h"
#include "machinery/wire_fields.h"

namespace keles {

namespace {

// Writes backwards, from the last field to the first, so that a message's length is known when its
// head is written.
class BackWriter {
 public:
  BackWriter() : buffer_(std::move(spare())) {
    if (buffer_.size() < kFirstBytes) buffer_.resize(kFirstBytes);
    at_ = buffer_.size();
  }
  ~BackWriter() {
    if (buffer_.size() <= kMostKept) spare() = std::move(buffer_);
  }
  BackWriter(const BackWriter&) = delete;

  size_t size() const { return buffer_.size() - at_; }
  std::string_view view() const { return std::string_view(buffer_).substr(at_); }

  void raw(std::string_view s) {
    if (s.empty()) return;
    room(s.size());
    at_ -= s.size();
    std::memcpy(buffer_.data() + at_, s.data(), s.size());
  }
  void varint(uint64_t v) {
    if (v < 0x80) {
      room(1);
      buffer_[--at_] = static_cast<char>(v);
      return;
    }
    char b[10];
    int n = 0;
    while (v >= 0x80) {
      b[n++] = static_cast<char>(v | 0x80);
      v >>= 7;
    }
    b[n++] = static_cast<char>(v);
    raw({b, static_cast<size_t>(n)});
  }
  void tag(uint32_t number, int type) {
    varint(uint64_t{number} << 3 | static_cast<uint64_t>(type));
  }
  void bytes_field(uint32_t number, std::string_view s) {
    raw(s);
    varint(s.size());
    tag(number, 2);
  }
  void varint_field(uint32_t number, uint64_t v) {
    varint(v);
    tag(number, 0);
  }
  // What was written since `before` becomes a field of bytes.
  void close(uint32_t number, size_t before) {
    varint(size() - before);
    tag(number, 2);
  }

 private:
  static constexpr size_t kFirstBytes = 2048, kMostKept = 64 * 1024;
  // A thread's buffer from one message to the next.
  static std::string& spare() {
    static thread_local std::string kept;
    return kept;
  }
  void room(size_t n) {
    if (at_ < n) grow(n);
  }
  void grow(size_t n) {
    const size_t used = size();
    std::string bigger(std::max(buffer_.size() * 2, used + n + kFirstBytes), '\0');
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(at_), buffer_.end(),
              bigger.end() - static_cast<std::ptrdiff_t>(used));
    buffer_ = std::move(bigger);
    at_ = buffer_.size() - used;
  }
  std::string buffer_;
  size_t at_ = 0;
};

uint64_t zigzag_free(int64_t i) { return static_cast<uint64_t>(i); }

class Encoder {
 public:
  explicit Encoder(BackWriter& w) : w_(w) {}

  void message(const TypeDesc& t, const Value& v) {
    switch (t.form) {
      case Form::kItems:
        for (size_t i = v.items().size(); i-- > 0;) w_.bytes_field(1, v.at(i).as_string());
        return;
      case Form::kSchemaOrArray:
        schema_or_array(t, v);
        return;
      case Form::kSchemaOrBool:
        schema_or_bool(t, v);
        return;
      case Form::kSchemaOrStrings:
        schema_or_strings(t, v);
        return;
      case Form::kValue:  // of custom kinds, which have no protobuf form
        return;
      case Form::kObject:
        break;
    }
    FieldSlots slots(t, v);
    entries(t, t.wire, slots);
  }

 private:
  void entries(const TypeDesc& t, std::span<const WireEntry> wire, FieldSlots& slots) {
    for (size_t i = wire.size(); i-- > 0;) {
      const WireEntry& e = wire[i];
      if (e.field >= 0) {
        field(t, t.fields[e.field], e.number, slots[e.field]);
      } else {
        const size_t before = w_.size();
        entries(t, {e.embedded, e.embedded_count}, slots);
        w_.close(e.number, before);
      }
    }
  }

  void field(const TypeDesc& t, const FieldDesc& f, uint32_t number, const Value* v) {
    switch (f.cardinality) {
      case Cardinality::kSingle:
        if (t.proto3) {
          single_proto3(f, number, v);
        } else {
          single(f, number, v);
        }
        return;
      case Cardinality::kList:
        if (v == nullptr) return;
        if (f.wrapped) {
          const size_t before = w_.size();
          list(t, f, 1, *v);
          w_.close(number, before);
        } else {
          list(t, f, number, *v);
        }
        return;
      case Cardinality::kMap:
        if (v != nullptr) map(f, number, *v);
        return;
    }
  }

  void single(const FieldDesc& f, uint32_t number, const Value* v) {
    if (v == nullptr) {
      // Bytes and pointers that are nil are not on the wire; everything else is, with its zero.
      if (f.pointer || f.type == FieldType::kBytes) return;
      v = &Value::null();
    }
    element(f, number, *v);
  }

  void single_proto3(const FieldDesc& f, uint32_t number, const Value* v) {
    if (v == nullptr) return;
    if (!f.pointer && f.oneof.empty()) {
      switch (f.type) {
        case FieldType::kString:
        case FieldType::kBytes:
          if (v->as_string().empty()) return;
          break;
        case FieldType::kEnum:
          if (f.enumeration->number_of(v->as_string()) == 0) return;
          break;
        case FieldType::kBool:
          if (!v->as_bool()) return;
          break;
        case FieldType::kMessage:
          break;
        default:
          if (v->as_double() == 0) return;
      }
    }
    element(f, number, *v);
  }

  void list(const TypeDesc& t, const FieldDesc& f, uint32_t number, const Value& v) {
    if (v.empty()) return;
    const bool packed = t.proto3 && is_packable(f.type);
    const size_t before = w_.size();
    for (size_t i = v.items().size(); i-- > 0;) {
      if (packed) {
        scalar(f, v.at(i));
      } else {
        element(f, number, v.at(i));
      }
    }
    if (packed) w_.close(number, before);
  }

  void map(const FieldDesc& f, uint32_t number, const Value& v) {
    std::vector<const Member*> sorted;
    sorted.reserve(v.size());
    for (const Member& m : v.members()) sorted.push_back(&m);
    std::sort(sorted.begin(), sorted.end(),
              [](const Member* a, const Member* b) { return a->key() > b->key(); });
    for (const Member* m : sorted) {
      const size_t before = w_.size();
      element(f, 2, m->value);
      w_.bytes_field(1, m->key());
      w_.close(number, before);
    }
  }

  void bytes(uint32_t number, std::string_view text) {
    auto decoded = base64_decode(text);
    w_.bytes_field(number, decoded.ok() ? std::string_view(*decoded) : std::string_view());
  }

  // A number without its tag.
  void scalar(const FieldDesc& f, const Value& v) {
    switch (f.type) {
      case FieldType::kBool:
        w_.varint(v.as_bool() ? 1 : 0);
        return;
      case FieldType::kEnum:
        w_.varint(static_cast<uint64_t>(int64_t{f.enumeration->number_of(v.as_string())}));
        return;
      case FieldType::kDouble: {
        auto bits = std::bit_cast<uint64_t>(v.as_double());
        w_.raw({reinterpret_cast<const char*>(&bits), 8});
        return;
      }
      case FieldType::kFloat: {
        auto bits = std::bit_cast<uint32_t>(static_cast<float>(v.as_double()));
        w_.raw({reinterpret_cast<const char*>(&bits), 4});
        return;
      }
      default:
        w_.varint(zigzag_free(v.as_int()));
    }
  }

  void element(const FieldDesc& f, uint32_t number, const Value& v) {
    const size_t before = w_.size();
    switch (f.type) {
      case FieldType::kString:
        w_.bytes_field(number, v.as_string());
        return;
      case FieldType::kBytes:
        bytes(number, v.as_string());
        return;
      case FieldType::kQuantity:
        w_.bytes_field(1, v.is_string() ? v.as_string() : std::string_view("0"));
        break;
      case FieldType::kTime:
      case FieldType::kMicroTime:
        timestamp(f, v);
        break;
      case FieldType::kDuration:
        w_.varint_field(
            1, static_cast<uint64_t>(parse_duration(v.as_string()).value_or(Duration(0)).count()));
        break;
      case FieldType::kIntOrString:
        w_.bytes_field(3, v.as_string());
        w_.varint_field(2, zigzag_free(v.as_int()));
        w_.varint_field(1, v.is_string() ? 1 : 0);
        break;
      case FieldType::kRaw:
        if (v.is_string() && kept_as_text(f)) {
          w_.bytes_field(1, v.as_string());
        } else if (!v.is_null()) {
          std::string json;
          write_json(json, v);
          w_.bytes_field(1, json);
        }
        break;
      case FieldType::kMessage:
        message(*f.message, v);
        break;
      case FieldType::kDouble:
        scalar(f, v);
        w_.tag(number, 1);
        return;
      case FieldType::kFloat:
        scalar(f, v);
        w_.tag(number, 5);
        return;
      default:
        scalar(f, v);
        w_.tag(number, 0);
        return;
    }
    w_.close(number, before);
  }

  void timestamp(const FieldDesc& f, const Value& v) {
    if (!v.is_string() || v.as_string().empty()) return;  // the zero time is an empty message
    auto t = parse_instant(v.as_string());
    if (!t.ok()) return;
    const int64_t seconds = t->seconds;
    const int64_t nanos = f.type == FieldType::kMicroTime ? t->nanos / 1000 * 1000 : 0;
    w_.varint_field(2, zigzag_free(nanos));
    w_.varint_field(1, zigzag_free(seconds));
  }

  // apiextensions' unions: which protobuf field holds the value depends on its JSON kind.
  void schema(const TypeDesc& t, std::string_view name, const Value& v) {
    const FieldDesc* f = t.find(name);
    element(*f, f->number, v);
  }
  void schema_or_array(const TypeDesc& t, const Value& v) {
    if (v.is_map()) {
      schema(t, "schema", v);
      return;
    }
    const FieldDesc* f = t.find("jSONSchemas");
    for (size_t i = v.items().size(); i-- > 0;) element(*f, f->number, v.at(i));
  }
  void schema_or_bool(const TypeDesc& t, const Value& v) {
    if (v.is_map()) schema(t, "schema", v);
    w_.varint_field(1, v.is_map() || v.as_bool() ? 1 : 0);
  }
  void schema_or_strings(const TypeDesc& t, const Value& v) {
    const FieldDesc* f = t.find("property");
    for (size_t i = v.items().size(); i-- > 0;) element(*f, f->number, v.at(i));
    if (v.is_map()) schema(t, "schema", v);
  }

  BackWriter& w_;
};

}  // namespace

void encode_protobuf(const TypeDesc& type, const Value& v, std::string& out) {
  BackWriter w;
  Encoder(w).message(type, v);
  out.append(w.view());
}

std::string encode_protobuf(const TypeDesc& type, const Value& v) {
  std::string out;
  encode_protobuf(type, v, out);
  return out;
}

// --- the envelope --------------------------------------------------------------------------------

void append_varint(std::string& out, uint64_t v) {
  while (v >= 0x80) {
    out += static_cast<char>(v | 0x80);
    v >>= 7;
  }
  out += static_cast<char>(v);
}

void append_bytes_field(std::string& out, uint32_t number, std::string_view bytes) {
  append_varint(out, uint64_t{number} << 3 | 2);
  append_varint(out, bytes.size());
  out.append(bytes);
}

std::string wrap_protobuf(std::string_view api_version, std::string_view kind,
                          std::string_view raw) {
  std::string type_meta;
  append_bytes_field(type_meta, 1, api_version);
  append_bytes_field(type_meta, 2, kind);
  std::string out(kProtobufMagic);
  out.reserve(out.size() + type_meta.size() + raw.size() + 24);
  append_bytes_field(out, 1, type_meta);
  append_bytes_field(out, 2, raw);
  append_bytes_field(out, 3, "");
  append_bytes_field(out, 4, "");
  return out;
}

Result<Envelope> open_protobuf(std::string_view bytes) {
  if (!bytes.starts_with(kProtobufMagic)) {
    return Status::bad_request("provided data does not appear to be a protobuf message");
  }
  Envelope out;
  WireReader r(bytes.substr(kProtobufMagic.size()));
  while (!r.done()) {
    const uint32_t number = r.tag();
    if (!r.ok()) break;
    if (r.type() != 2) {
      r.skip();
      continue;
    }
    std::string_view s = r.bytes();
    if (number == 2) out.raw = s;
    if (number == 3) out.content_encoding = s;
    if (number == 4) out.content_type = s;
    if (number != 1) continue;
    WireReader meta(s);
    while (!meta.done()) {
      const uint32_t n = meta.tag();
      if (!meta.ok()) break;
      if (meta.type() != 2) {
        meta.skip();
      } else if (n == 1) {
        out.api_version = meta.bytes();
      } else if (n == 2) {
        out.kind = meta.bytes();
      } else {
        meta.skip();
      }
    }
    if (!meta.ok()) return Status::bad_request("protobuf: the envelope is damaged");
  }
  if (!r.ok()) return Status::bad_request("protobuf: the envelope is damaged");
  return out;
}

std::string encode_object(const KindDesc& kind, const Value& v) {
  BackWriter w;
  w.bytes_field(4, "");
  w.bytes_field(3, "");
  const size_t before = w.size();
  Encoder(w).message(*kind.type, v);
  w.close(2, before);
  const size_t meta = w.size();
  w.bytes_field(2, kind.bare ? std::string_view() : kind.kind);
  w.bytes_field(1, kind.bare ? std::string_view() : kind.api_version());
  w.close(1, meta);
  w.raw(kProtobufMagic);
  return std::string(w.view());
}

}  // namespace keles
