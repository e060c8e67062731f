#include "machinery/decode.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/custom_object.h"
#include "machinery/decode_part.h"
#include "machinery/decode_patched.h"
#include "machinery/field_order.h"
#include "machinery/instant.h"
#include "machinery/internal_names.h"
#include "machinery/quantity.h"
#include "machinery/raw_text.h"
#include "machinery/time.h"
#include "machinery/zero.h"

namespace keles {

namespace {

// "v1.PodSpec" of "io.k8s.api.core.v1.PodSpec": how Go names the type.
std::string go_name(std::string_view full) {
  auto dot = full.rfind('.');
  auto before = dot == std::string_view::npos ? dot : full.rfind('.', dot - 1);
  return std::string(before == std::string_view::npos ? full : full.substr(before + 1));
}
std::string_view short_name(std::string_view full) { return full.substr(full.rfind('.') + 1); }

std::string go_element(const FieldDesc& f) {
  switch (f.type) {
    case FieldType::kString:
    case FieldType::kEnum:
      return "string";
    case FieldType::kBool:
      return "bool";
    case FieldType::kInt32:
      return "int32";
    case FieldType::kInt64:
      return "int64";
    case FieldType::kUint32:
      return "uint32";
    case FieldType::kUint64:
      return "uint64";
    case FieldType::kDouble:
      return "float64";
    case FieldType::kFloat:
      return "float32";
    case FieldType::kBytes:
      return "[]uint8";
    case FieldType::kQuantity:
      return "resource.Quantity";
    case FieldType::kTime:
      return "v1.Time";
    case FieldType::kMicroTime:
      return "v1.MicroTime";
    case FieldType::kDuration:
      return "v1.Duration";
    case FieldType::kIntOrString:
      return "intstr.IntOrString";
    case FieldType::kRaw:
      return "runtime.RawExtension";
    case FieldType::kMessage:
      return go_name(f.message->name);
  }
  return {};
}

std::string go_type(const FieldDesc& f) {
  if (f.cardinality == Cardinality::kList) return "[]" + go_element(f);
  if (f.cardinality == Cardinality::kMap) return "map[string]" + go_element(f);
  return go_element(f);
}

std::string describe(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kBool:
      return "bool";
    case Value::Kind::kInt:
    case Value::Kind::kDouble:
      return "number";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kList:
      return "array";
    case Value::Kind::kMap:
      return "object";
    default:
      return "null";
  }
}

std::string number_text(const Value& v) {
  std::string out = "number ";
  write_json(out, v);
  return out;
}

constexpr size_t kMaxProblems = 100;

class Normalizer {
 public:
  Normalizer(Arena& arena, std::vector<std::string>* unknown) : arena_(arena), unknown_(unknown) {
    path_.reserve(kUsualDepth);
  }

  // `patch`: of an object that was normal before it, what was laid over it; what that does not name
  // is as it was. Null: all of it is to be looked at.
  Status message(const TypeDesc& t, Value& v, const Value* patch = nullptr) {
    if (t.form != Form::kObject) return special(t, v);
    if (t.from_schema && v.is_map()) return shape_custom(t, arena_, v, unknown_);
    if (!v.is_map()) return wrong(describe(v), go_name(t.name));
    owner_ = &t;
    size_t kept = 0;
    size_t expected = 0;
    auto members = v.members();
    for (Member& m : members) {
      const Value* laid = patch ? patch->find(m.key()) : nullptr;
      if (patch != nullptr && laid == nullptr) {
        members[kept++] = m;
        continue;
      }
      const FieldDesc* f = expected < t.fields.size() && t.fields[expected].name == m.key()
                               ? &t.fields[expected]
                               : t.find(m.key());
      if (f == nullptr) {
        if (unknown_ != nullptr && unknown_->size() < kMaxProblems) {
          Step step(*this, m.key());
          unknown_->push_back(path(true));
        }
        continue;
      }
      expected = static_cast<size_t>(f - t.fields.data()) + 1;
      if (m.value.is_null()) continue;
      {
        Step step(*this, f->name);
        const TypeDesc* outer = owner_;
        const bool within = laid != nullptr && laid->is_map() && m.value.is_map() &&
                            f->cardinality == Cardinality::kSingle &&
                            f->type == FieldType::kMessage;
        Status s = within ? message(*f->message, m.value, laid) : field(*f, m.value);
        if (!s.ok()) return s;
        owner_ = outer;
      }
      if (zero(*f, m.value)) continue;
      members[kept++] = Member{f->name.data(), f->name.size(), m.value};
    }
    v.truncate(kept);
    return {};
  }

 private:
  struct PathStep {
    std::string_view key;
    size_t index = 0;
  };
  struct Step {
    Step(Normalizer& n, std::string_view key) : n_(n) { n_.path_.push_back({key, 0}); }
    Step(Normalizer& n, size_t index) : n_(n) { n_.path_.push_back({{}, index}); }
    ~Step() { n_.path_.pop_back(); }
    Normalizer& n_;
  };

  // "spec.containers[0].name", or without the indices.
  std::string path(bool indices) const {
    std::string out;
    for (const PathStep& s : path_) {
      if (s.key.data() == nullptr) {
        if (indices) out += '[' + std::to_string(s.index) + ']';
      } else {
        if (!out.empty()) out += '.';
        out += s.key;
      }
    }
    return out;
  }

  Status wrong(std::string_view what, std::string_view type) const {
    std::string out = "json: cannot unmarshal " + std::string(what) + " into Go ";
    if (owner_ == nullptr || path_.empty()) {
      out += "value of type ";
    } else {
      out +=
          "struct field " + std::string(short_name(owner_->name)) + '.' + path(false) + " of type ";
    }
    return Status::bad_request(out + std::string(type));
  }

  // The zero of a value that is not a pointer says nothing, unless JSON always writes it.
  static bool zero(const FieldDesc& f, const Value& v) {
    if (f.pointer || f.cardinality != Cardinality::kSingle) return v.is_null();
    return says_nothing(f, v);
  }

  Status field(const FieldDesc& f, Value& v) {
    switch (f.cardinality) {
      case Cardinality::kSingle:
        return element(f, v);
      case Cardinality::kList: {
        if (!v.is_list()) return wrong(describe(v), go_type(f));
        size_t i = 0;
        for (Value& x : v.items()) {
          Step step(*this, i++);
          if (x.is_null()) x = zero_value(f);
          Status s = element(f, x);
          if (!s.ok()) return s;
        }
        return {};
      }
      case Cardinality::kMap:
        if (!v.is_map()) return wrong(describe(v), go_type(f));
        for (Member& m : v.members()) {
          Step step(*this, m.key());
          if (m.value.is_null()) m.value = zero_value(f);
          Status s = element(f, m.value);
          if (!s.ok()) return s;
        }
        return {};
    }
    return {};
  }

  Status element(const FieldDesc& f, Value& v) {
    switch (f.type) {
      case FieldType::kString:
      case FieldType::kEnum:
        return v.is_string() ? Status() : wrong(describe(v), "string");
      case FieldType::kBool:
        return v.is_bool() ? Status() : wrong(describe(v), "bool");
      case FieldType::kInt32:
        return integer(v, "int32", std::numeric_limits<int32_t>::min(),
                       std::numeric_limits<int32_t>::max());
      case FieldType::kUint32:
        return integer(v, "uint32", 0, std::numeric_limits<uint32_t>::max());
      case FieldType::kInt64:
        return integer(v, "int64", std::numeric_limits<int64_t>::min(),
                       std::numeric_limits<int64_t>::max());
      case FieldType::kUint64:
        return integer(v, "uint64", 0, std::numeric_limits<int64_t>::max());
      case FieldType::kDouble:
      case FieldType::kFloat:
        return v.is_number() ? Status() : wrong(describe(v), "float64");
      case FieldType::kMessage:
        return message(*f.message, v);
      case FieldType::kRaw:
        if (kept_as_text(f)) to_text(v);
        return {};
      case FieldType::kIntOrString:
        if (v.is_string()) return {};
        return integer(v, "int32", std::numeric_limits<int32_t>::min(),
                       std::numeric_limits<int32_t>::max());
      default:
        return text(f, v);
    }
  }

  // JSON that is no object says nothing there.
  void to_text(Value& v) {
    if (v.is_map()) {
      v = Value::string(arena_.copy(to_json(v)));
    } else if (!is_json_object(v.as_string())) {
      v = Value();
    }
  }

  Status integer(Value& v, std::string_view type, int64_t low, int64_t high) {
    if (!v.is_number()) return wrong(describe(v), type);
    if (!v.is_int() || v.as_int() < low || v.as_int() > high) return wrong(number_text(v), type);
    return {};
  }

  // Scalars that JSON holds as text and that have one canonical form.
  Status text(const FieldDesc& f, Value& v) {
    if (v.is_null()) return {};  // the zero time inside a list or map
    if (f.type == FieldType::kQuantity) {
      std::string from;
      if (v.is_number()) {
        write_json(from, v);
      } else if (v.is_string()) {
        from = v.as_string();
      } else {
        return wrong(describe(v), go_element(f));
      }
      auto canonical = canonical_quantity(from);
      if (!canonical.ok()) return Status::bad_request(canonical.status().message());
      if (v.as_string() != *canonical) v = Value::string(arena_.copy(*canonical));
      return {};
    }
    if (!v.is_string()) return wrong(describe(v), go_element(f));
    std::string_view s = v.as_string();
    switch (f.type) {
      case FieldType::kBytes: {
        const long bad = base64_error(s);
        if (bad < 0) return {};
        return Status::bad_request("illegal base64 data at input byte " + std::to_string(bad));
      }
      case FieldType::kTime:
      case FieldType::kMicroTime: {
        auto t = parse_instant(s);
        if (!t.ok()) return Status::bad_request(t.status().message());
        if (*t == kZeroTime) {
          v = Value();
          return {};
        }
        std::string canonical =
            f.type == FieldType::kTime ? format_time(*t) : format_micro_time(*t);
        if (canonical != s) v = Value::string(arena_.copy(canonical));
        return {};
      }
      case FieldType::kDuration: {
        auto d = parse_duration(s);
        if (!d.ok()) return Status::bad_request(d.status().message());
        std::string canonical = format_duration(*d);
        if (canonical != s) v = Value::string(arena_.copy(canonical));
        return {};
      }
      default:
        return {};
    }
  }

  Status special(const TypeDesc& t, Value& v) {
    if (t.form == Form::kValue) return field(t.fields[0], v);
    if (t.form == Form::kItems) {
      if (!v.is_list()) return wrong(describe(v), go_name(t.name));
      return field(t.fields[0], v);
    }
    if (v.is_map()) return message(*t.find("schema")->message, v);
    if (t.form == Form::kSchemaOrBool && v.is_bool()) return {};
    if (!v.is_list() || t.form == Form::kSchemaOrBool) {
      return wrong(describe(v), go_name(t.name));
    }
    const FieldDesc& f = *t.find(t.form == Form::kSchemaOrArray ? "jSONSchemas" : "property");
    return field(f, v);
  }

  Arena& arena_;
  std::vector<std::string>* unknown_;
  static constexpr size_t kUsualDepth = 16;
  std::vector<PathStep> path_;
  const TypeDesc* owner_ = nullptr;
};

Status cannot_handle(std::string_view sent, std::string_view version, const KindDesc& kind,
                     std::string_view why) {
  return Status::bad_request(std::string(sent) + " in version \"" + std::string(version) +
                             "\" cannot be handled as a " + std::string(kind.kind) + ": " +
                             std::string(why));
}

Status cannot_handle(const KindDesc& kind, std::string_view why) {
  return cannot_handle(kind.kind, kind.version, kind, why);
}

// The start of a body, for the message that refuses it: text when it looks like JSON, else hex.
std::string summary(std::string_view body) {
  constexpr size_t kShown = 30;
  if (body.empty()) return "<empty>";
  std::string out;
  if (body[0] == '{') {
    out = body.substr(0, kShown);
  } else {
    constexpr char kHex[] = "0123456789abcdef";
    for (unsigned char c : body.substr(0, kShown)) {
      out.push_back(kHex[c >> 4]);
      out.push_back(kHex[c & 15]);
    }
  }
  if (body.size() > kShown) out += " ...";
  return out;
}

}  // namespace

Status unrecognized_body(const KindDesc& kind, std::string_view body, std::string_view why) {
  return Status::bad_request("the object provided is unrecognized (must be of type " +
                             std::string(kind.kind) + "): " + std::string(why) + " (" +
                             summary(body) + ")");
}

namespace {

// Whether a body of that kind is one of ours; else upstream's refusal of it.
Status check_kind(const KindDesc& kind, std::string_view sent_api, std::string_view sent_kind) {
  const std::string_view own_api = kind.api_version();
  if (sent_kind.empty()) sent_kind = kind.kind;
  if (sent_api.empty()) sent_api = own_api;
  if (sent_kind == kind.kind && sent_api == own_api) return {};
  std::string_view version = sent_api.substr(sent_api.rfind('/') + 1);
  const KindDesc* sent = find_kind(sent_api, sent_kind);
  if (!sent) {
    return cannot_handle(sent_kind, version, kind,
                         "no kind \"" + std::string(sent_kind) + "\" is registered for version \"" +
                             std::string(sent_api) +
                             "\" in scheme \"pkg/api/legacyscheme/scheme.go:30\"");
  }
  if (sent->kind == kind.kind && internal_package(sent->group) == internal_package(kind.group)) {
    return Status::bad_request("the API version in the data (" + std::string(sent_api) +
                               ") does not match the expected API version (" +
                               std::string(own_api) + ")");
  }
  return cannot_handle(sent_kind, version, kind,
                       "converting (" + std::string(version) + "." + std::string(sent_kind) +
                           ") to (" + internal_package(kind.group) + "." + std::string(kind.kind) +
                           "): unknown conversion");
}

// The same of a custom resource, which has to say what it is.
Status check_custom_kind(const KindDesc& kind, std::string_view api, std::string_view sent,
                         std::string_view body, const Value& root) {
  if (sent.empty()) {
    return unrecognized_body(kind, body, "Object 'Kind' is missing in '" + std::string(body) + "'");
  }
  if (api != kind.api_version()) {
    return Status::bad_request("the API version in the data (" + std::string(api) +
                               ") does not match the expected API version (" +
                               std::string(kind.api_version()) + ")");
  }
  if (sent == kind.kind) return {};
  return Status::invalid(
      kind.group, kind.kind, root["metadata"]["name"].as_string(),
      {{"FieldValueInvalid",
        "Invalid value: \"" + std::string(sent) + "\": must be " + std::string(kind.kind),
        "kind"}});
}

}  // namespace

Status check_body_kind(const KindDesc& kind, std::string_view body, Document& doc) {
  static constexpr std::string_view kParse = "couldn't get version/kind; json parse error: json: ";
  if (doc.root.is_null()) doc.root = Value::map();
  if (!doc.root.is_map()) {
    const char* what = doc.root.is_list()     ? "array"
                       : doc.root.is_string() ? "string"
                       : doc.root.is_bool()   ? "bool"
                                              : "number";
    return unrecognized_body(
        kind, body,
        std::string(kParse) + "cannot unmarshal " + what +
            " into Go value of type struct { APIVersion string "
            "\"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }");
  }
  for (std::string_view member : {"apiVersion", "kind"}) {
    const Value& v = doc.root[member];
    if (v.is_null() || v.is_string()) continue;
    const char* what = v.is_list()   ? "array"
                       : v.is_map()  ? "object"
                       : v.is_bool() ? "bool"
                                     : "number";
    return unrecognized_body(kind, body,
                             std::string(kParse) + "cannot unmarshal " + what +
                                 " into Go struct field ." + std::string(member) +
                                 " of type string");
  }
  const std::string_view api = doc.root["apiVersion"].as_string();
  const std::string_view sent = doc.root["kind"].as_string();
  return kind.owner ? check_custom_kind(kind, api, sent, body, doc.root)
                    : check_kind(kind, api, sent);
}

Status normalize_patched(const TypeDesc& type, Document& doc, const Value& patch,
                         std::vector<std::string>* unknown) {
  if (type.from_schema) return normalize(type, doc, unknown);
  std::vector<std::string> paths;
  Status s = Normalizer(doc.arena, unknown ? &paths : nullptr).message(type, doc.root, &patch);
  for (const std::string& p : paths) unknown->push_back("unknown field \"" + p + '"');
  return s;
}

Status decode_patched(const KindDesc& kind, Document& doc, const Value& patch,
                      std::vector<std::string>* unknown) {
  Status s = normalize_patched(*kind.type, doc, patch, unknown);
  return s.ok() ? s : cannot_handle(kind, s.message());
}

Status normalize_part(const TypeDesc& type, Arena& arena, Value& v,
                      std::vector<std::string>* unknown) {
  return Normalizer(arena, unknown).message(type, v);
}

Status normalize(const TypeDesc& type, Document& doc, std::vector<std::string>* unknown) {
  if (unknown == nullptr) return normalize_part(type, doc.arena, doc.root);
  std::vector<std::string> paths;
  Status s = normalize_part(type, doc.arena, doc.root, &paths);
  for (const std::string& p : paths) unknown->push_back("unknown field \"" + p + '"');
  return s;
}

namespace {

// Whether `path` is one of `roots` or lies below one.
bool is_below(std::string_view path, const std::vector<std::string>& roots) {
  for (const std::string& r : roots) {
    if (!path.starts_with(r)) continue;
    if (path.size() == r.size() || path[r.size()] == '.' || path[r.size()] == '[') return true;
  }
  return false;
}

// What strict decoding has to say, in the order of the text. Fields that nobody knows are not
// looked into: neither they nor what is in them is a duplicate.
std::vector<std::string> problems_of(const std::vector<std::string>& duplicates,
                                     const std::vector<std::string>& unknown,
                                     std::string_view json) {
  struct Problem {
    size_t at;
    std::string text;
  };
  std::unordered_map<std::string, std::vector<size_t>> offsets;
  if (!json.empty() && !unknown.empty() && !duplicates.empty()) {
    std::vector<std::string> paths = duplicates;
    paths.insert(paths.end(), unknown.begin(), unknown.end());
    offsets = field_offsets(json, paths);
  }
  auto place = [&](const std::string& path, size_t nth) {
    auto found = offsets.find(path);
    return found != offsets.end() && nth < found->second.size() ? found->second[nth] : 0;
  };
  std::vector<Problem> all;
  for (const std::string& d : duplicates) {
    if (!json.empty() && is_below(d, unknown)) continue;
    std::string text = "duplicate field \"" + d + '"';
    const bool said =
        std::any_of(all.begin(), all.end(), [&](const Problem& p) { return p.text == text; });
    if (!said) all.push_back({place(d, 1), std::move(text)});
  }
  for (const std::string& u : unknown) {
    all.push_back({place(u, 0), "unknown field \"" + u + '"'});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Problem& a, const Problem& b) { return a.at < b.at; });
  std::vector<std::string> out;
  for (Problem& p : all) {
    if (out.size() < kMaxProblems) out.push_back(std::move(p.text));
  }
  return out;
}

}  // namespace

Status decode_object(const KindDesc& kind, Document& doc, FieldValidation validation,
                     const std::vector<std::string>& duplicates, std::vector<std::string>* warnings,
                     std::string_view json) {
  const bool ignore = validation == FieldValidation::kIgnore;
  std::vector<std::string> unknown;
  hold_kind(doc.arena, kind);
  Status s = normalize_part(*kind.type, doc.arena, doc.root, ignore ? nullptr : &unknown);
  if (!s.ok()) return cannot_handle(kind, s.message());
  if (ignore || (unknown.empty() && duplicates.empty())) return {};
  // Of custom objects duplicates are told first, and what is unknown by its path.
  std::vector<std::string> problems =
      problems_of(duplicates, unknown, kind.type->from_schema ? std::string_view() : json);
  if (validation == FieldValidation::kStrict) {
    std::string all;
    for (const std::string& p : problems) all += (all.empty() ? "" : ", ") + p;
    return cannot_handle(kind, "strict decoding error: " + all);
  }
  if (warnings != nullptr) warnings->insert(warnings->end(), problems.begin(), problems.end());
  return {};
}

Result<Document> decode_body(const KindDesc& kind, std::string_view body,
                             FieldValidation validation, std::vector<std::string>* warnings) {
  if (body.starts_with(kProtobufMagic)) {
    auto envelope = open_protobuf(body);
    if (!envelope.ok()) return envelope.status();
    if (!kind.bare && !envelope->kind.empty()) {
      TRY(check_kind(kind, envelope->api_version, envelope->kind));
    }
    return decode_object_protobuf(kind, body);
  }
  std::vector<std::string> duplicates;
  JsonOptions options;
  if (validation != FieldValidation::kIgnore) options.duplicates = &duplicates;
  auto doc = parse_json(body, options);
  if (!doc.ok()) {
    return unrecognized_body(
        kind, body, "couldn't get version/kind; json parse error: " + doc.status().message());
  }
  if (!kind.bare) TRY(check_body_kind(kind, body, *doc));
  TRY(decode_object(kind, *doc, validation, duplicates, warnings, body));
  if (!kind.bare) {
    doc->root.set(doc->arena, "kind", Value::string(kind.kind));
    doc->root.set(doc->arena, "apiVersion", Value::string(kind.api_version()));
  }
  return doc;
}

}  // namespace keles
