#include "machinery/config_file.h"

#include <algorithm>
#include <cctype>

#include "base/file.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/described_rules.h"
#include "machinery/dotted_path.h"
#include "machinery/inert.h"

namespace keles {
namespace {

constexpr size_t kMaxBytes = 1u << 20;
constexpr size_t kMaxErrors = 20;
constexpr int kMaxDepth = 64;

const char* kind_of(const Value& v) {
  switch (v.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return "a boolean";
    case Value::Kind::kInt:
    case Value::Kind::kDouble:
      return "a number";
    case Value::Kind::kString:
      return "a text";
    case Value::Kind::kList:
      return "a list";
    case Value::Kind::kMap:
      return "a map";
  }
  return "";
}

// What a scalar of the type has to be; "" when `v` is one. What texts have to say is decoding's.
const char* wanted(FieldType type, const Value& v) {
  switch (type) {
    case FieldType::kBool:
      return v.is_bool() ? "" : "a boolean";
    case FieldType::kInt32:
    case FieldType::kInt64:
    case FieldType::kUint32:
    case FieldType::kUint64:
      return v.is_int() ? "" : "an integer";
    case FieldType::kDouble:
    case FieldType::kFloat:
      return v.is_number() ? "" : "a number";
    case FieldType::kIntOrString:
      return v.is_int() || v.is_string() ? "" : "an integer or a text";
    case FieldType::kQuantity:
      return v.is_number() || v.is_string() ? "" : "a quantity";
    case FieldType::kRaw:
      return "";
    case FieldType::kMessage:
      return v.is_map() ? "" : "a map";
    default:
      return v.is_string() ? "" : "a text";
  }
}

// Holds a tree, as it was parsed, against a type: what it does not know, and what is of a wrong
// kind.
class Strict {
 public:
  explicit Strict(FieldErrors& errors) : errors_(errors) {}

  void message(const TypeDesc& type, const Value& v, const std::string& path, int depth) {
    if (type.form != Form::kObject || depth > kMaxDepth) return;  // decoding looks at it
    for (const Member& m : v.members()) {
      const std::string here =
          path.empty() ? std::string(m.key()) : path + "." + std::string(m.key());
      const FieldDesc* f = type.find(m.key());
      if (!f) {
        add(here, "unknown field");
      } else {
        field(*f, m.value, here, depth);
      }
    }
  }

 private:
  void field(const FieldDesc& f, const Value& v, const std::string& path, int depth) {
    if (v.is_null()) return;  // as if it were not written
    switch (f.cardinality) {
      case Cardinality::kSingle:
        element(f, v, path, depth);
        return;
      case Cardinality::kList: {
        if (!v.is_list()) return wrong(path, "a list", v);
        size_t i = 0;
        for (const Value& item : v.items()) {
          const std::string here = path + "[" + std::to_string(i++) + "]";
          if (item.is_null()) {
            wrong(here, "a value", item);
          } else {
            element(f, item, here, depth);
          }
        }
        return;
      }
      case Cardinality::kMap:
        if (!v.is_map()) return wrong(path, "a map", v);
        for (const Member& m : v.members()) {
          if (!m.value.is_null()) {
            element(f, m.value, path + "[" + std::string(m.key()) + "]", depth);
          }
        }
        return;
    }
  }

  void element(const FieldDesc& f, const Value& v, const std::string& path, int depth) {
    const bool object = f.type != FieldType::kMessage || f.message->form == Form::kObject;
    if (const char* want = object ? wanted(f.type, v) : ""; *want) return wrong(path, want, v);
    if (f.type == FieldType::kMessage) message(*f.message, v, path, depth + 1);
  }

  void wrong(const std::string& path, const char* want, const Value& v) {
    add(path, std::string("want ") + want + ", got " + kind_of(v));
  }
  void add(const std::string& path, std::string what) {
    if (errors_.size() < kMaxErrors) {
      errors_.push_back({"FieldValueInvalid", std::move(what), path});
    }
  }

  FieldErrors& errors_;
};

// "error converting YAML to JSON: yaml: line 3: did not find ..." as "NAME:3: did not find ...".
std::string placed(const std::string& name, std::string_view what) {
  if (const size_t at = what.find("yaml: "); at != std::string_view::npos)
    what.remove_prefix(at + 6);
  constexpr std::string_view kLine = "line ";
  size_t end = kLine.size();
  while (end < what.size() && std::isdigit(static_cast<unsigned char>(what[end]))) ++end;
  if (!what.starts_with(kLine) || end == kLine.size() || !what.substr(end).starts_with(": ")) {
    return name + ": " + std::string(what);
  }
  return name + ":" + std::string(what.substr(kLine.size(), end - kLine.size())) +
         std::string(what.substr(end));
}

// One level up: "a.b[2].c", "a.b[2]", "a.b", "a", "".
std::string_view parent(std::string_view path) {
  const size_t at = path.find_last_of(".[");
  return at == std::string_view::npos ? std::string_view() : path.substr(0, at);
}

std::string plain(const Status& s) { return s.message(); }

}  // namespace

std::string ConfigFile::where(std::string_view field) const {
  if (field.empty()) return name_;
  const auto lines = yaml_lines(text_);
  for (std::string_view at = field;; at = parent(at)) {
    if (auto found = lines.find(at); found != lines.end()) {
      return name_ + ":" + std::to_string(found->second);
    }
    if (at.empty()) return name_;
  }
}

Status ConfigFile::error(std::string_view field, std::string_view what) const {
  std::string whole = prefix_;
  if (!whole.empty() && !field.empty()) whole += '.';
  whole += field;
  std::string text = where(whole) + ": ";
  if (!whole.empty()) text.append(whole).append(": ");
  return Status::bad_request(text.append(what));
}

Status ConfigFile::check(const FieldErrors& errors) const {
  if (errors.empty()) return {};
  std::string all;
  for (size_t i = 0; i < errors.size() && i < kMaxErrors; ++i) {
    if (i > 0) all += "\n";
    all += error(errors[i].field, errors[i].message).message();
  }
  return Status::bad_request(std::move(all));
}

Status ConfigFile::decode(const ConfigKind& kind) {
  std::vector<std::string> duplicates;
  YamlOptions options;
  options.duplicates = &duplicates;
  if (text_.size() > kMaxBytes) return error("", "the file is longer than 1 MiB");
  auto all = parse_yaml_all(text_, options);
  if (!all.ok()) return Status::bad_request(placed(name_, plain(all.status())));
  if (!duplicates.empty()) return Status::bad_request(placed(name_, duplicates.front()));
  const std::string want = std::string(kind.kind) + " of " + std::string(kind.api_version);
  if (all->empty()) return error("", "is empty: want a " + want);
  if (all->size() > 1) return error("", "has more than one document: want one " + want);
  document_ = std::move(all->front());
  return decode_root(kind);
}

Status ConfigFile::decode_root(const ConfigKind& kind) {
  const std::string want = std::string(kind.kind) + " of " + std::string(kind.api_version);
  Value& root = document_.root;
  if (!root.is_map()) return error("", std::string("want a ") + want + ", got " + kind_of(root));
  const KindDesc* described = find_kind(kind.api_version, kind.kind);
  if (!described) return Status::internal("no kind " + want + " is described");
  if (kind.bare) {
    root.set(document_.arena, "kind", Value::string(described->kind));
    root.set(document_.arena, "apiVersion", Value::string(described->api_version()));
  }
  if (root["kind"].as_string() != kind.kind) return error("kind", "want a " + want);
  api_version_ = std::string(root["apiVersion"].as_string());
  const bool known = api_version_ == kind.api_version ||
                     std::find(kind.also.begin(), kind.also.end(), api_version_) != kind.also.end();
  if (!known) return error("apiVersion", "want " + std::string(kind.api_version));
  FieldErrors errors;
  Strict(errors).message(*described->type, root, "", 0);
  TRY(check(errors));
  root.set(document_.arena, "apiVersion", Value::string(described->api_version()));
  Status normal = normalize(*described->type, document_);
  if (!normal.ok()) return error("", plain(normal));
  // What is set to its default asks for nothing.
  Document defaults;
  defaults.root = Value::map();
  apply_defaults(*described, defaults);
  for (const std::string& path : inert_fields(*described, root, 200)) {
    const bool in_list = path.find('[') != std::string::npos;
    if (!in_list && value_at(root, path).equals(value_at(defaults.root, path))) continue;
    warnings_.push_back(error(path, "nothing acts on this field here").message());
  }
  apply_defaults(*described, document_);
  check_described(errors, *described->type, root);
  TRY(check(errors));
  return {};
}

Result<ConfigFile> ConfigFile::parse(std::string name, std::string text, const ConfigKind& kind) {
  ConfigFile out;
  out.name_ = std::move(name);
  out.text_ = std::move(text);
  TRY(out.decode(kind));
  return out;
}

Result<ConfigFile> ConfigFile::inside(std::string_view field, const Value& object,
                                      const ConfigKind& kind) const {
  ConfigFile out;
  out.name_ = name_;
  out.text_ = text_;
  out.prefix_ = prefix_.empty() ? std::string(field) : prefix_ + "." + std::string(field);
  out.document_.root = deep_copy(out.document_.arena, object);
  TRY(out.decode_root(kind));
  return out;
}

Result<ConfigFile> ConfigFile::read(const std::string& path, const ConfigKind& kind) {
  auto text = read_file(path, kMaxBytes);
  if (!text.ok()) return Status::bad_request(path + ": " + text.status().message());
  return parse(path, std::move(*text), kind);
}

Result<std::string> default_config(const ConfigKind& kind) {
  const KindDesc* described = find_kind(kind.api_version, kind.kind);
  if (!described) {
    return Status(Reason::kNotFound, "there is no kind " + std::string(kind.kind) + " of " +
                                         std::string(kind.api_version));
  }
  Document doc;
  doc.root = Value::map();
  doc.root.set(doc.arena, "apiVersion", Value::string(described->api_version()));
  doc.root.set(doc.arena, "kind", Value::string(described->kind));
  apply_defaults(*described, doc);
  return write_yaml(doc.root);
}

}  // namespace keles
