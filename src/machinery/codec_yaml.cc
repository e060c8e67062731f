#include "machinery/codec_yaml.h"

#include <yaml.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <unordered_set>

#include "machinery/codec_json.h"
#include "machinery/plain_json.h"
#include "machinery/validation.h"
#include "machinery/yaml_scalar.h"

namespace keles {
namespace {

constexpr size_t kMaxBytes = 32u << 20;
constexpr int kMaxDepth = 500;
constexpr size_t kMaxNodes = 2'000'000;
constexpr size_t kMaxAliasNodes = 100'000;
constexpr size_t kMaxKeys = 20'000;  // of one map: finding a member is a linear scan
constexpr size_t kMaxDocuments = 10'000;

Status yaml_error(const std::string& what) {
  return Status::bad_request("error converting YAML to JSON: yaml: " + what);
}
Status yaml_error_at(const yaml_mark_t& mark, const std::string& what) {
  return yaml_error("line " + std::to_string(mark.line + 1) + ": " + what);
}

struct Event {
  yaml_event_t e{};
  bool live = false;
  Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { clear(); }
  void clear() {
    if (live) yaml_event_delete(&e);
    live = false;
  }
};

size_t count_nodes(const Value& v) {
  size_t n = 1;
  for (const Value& i : v.items()) n += count_nodes(i);
  for (const Member& m : v.members()) n += count_nodes(m.value);
  return n;
}

class Reader {
 public:
  Reader(std::string_view text, YamlOptions options) : options_(options) {
    yaml_parser_initialize(&parser_);
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()),
                                 text.size());
  }
  ~Reader() { yaml_parser_delete(&parser_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // The next document into `doc`; false at the end of the stream.
  Result<bool> next(Document* doc) {
    Event e;
    while (true) {
      TRY(read(&e));
      if (e.e.type == YAML_STREAM_END_EVENT || e.e.type == YAML_NO_EVENT) return false;
      if (e.e.type == YAML_DOCUMENT_START_EVENT) break;
    }
    arena_ = &doc->arena;
    anchors_.clear();
    open_anchors_.clear();
    TRY(read(&e));
    if (e.e.type == YAML_DOCUMENT_END_EVENT) return true;
    TRY(node(&e, &doc->root, 0));
    TRY(read(&e));  // the document's end
    return true;
  }

 private:
  Status read(Event* e) {
    e->clear();
    if (yaml_parser_parse(&parser_, &e->e)) {
      e->live = true;
      return {};
    }
    // The line that upstream's decoder names: the context's if there is one.
    size_t line = 0;
    bool scanner = parser_.error == YAML_SCANNER_ERROR;
    if (parser_.context_mark.line != 0) {
      line = parser_.context_mark.line + (scanner ? 1 : 0);
    } else if (parser_.problem_mark.line != 0) {
      line = parser_.problem_mark.line + (scanner ? 1 : 0);
    }
    std::string what = parser_.problem ? parser_.problem : "unknown problem parsing YAML content";
    return yaml_error((line ? "line " + std::to_string(line) + ": " : "") + what);
  }

  Status node(Event* e, Value* out, int depth) {
    if (depth > kMaxDepth) return yaml_error_at(e->e.start_mark, "exceeded max depth of 500");
    if (++nodes_ > kMaxNodes) return yaml_error_at(e->e.start_mark, "too many nodes");
    switch (e->e.type) {
      case YAML_ALIAS_EVENT:
        return alias(reinterpret_cast<const char*>(e->e.data.alias.anchor), e->e.start_mark, out);
      case YAML_SCALAR_EVENT: {
        TRY(scalar(e->e, out));
        if (e->e.data.scalar.anchor) {
          anchors_[reinterpret_cast<const char*>(e->e.data.scalar.anchor)] = {*out, 1};
        }
        return {};
      }
      case YAML_SEQUENCE_START_EVENT: {
        std::string anchor = open_anchor(e->e.data.sequence_start.anchor);
        TRY(sequence(e, out, depth));
        close_anchor(anchor, *out);
        return {};
      }
      case YAML_MAPPING_START_EVENT: {
        std::string anchor = open_anchor(e->e.data.mapping_start.anchor);
        TRY(mapping(e, out, depth));
        close_anchor(anchor, *out);
        return {};
      }
      default:
        return yaml_error_at(e->e.start_mark, "unexpected event");
    }
  }

  std::string open_anchor(const yaml_char_t* a) {
    if (!a) return {};
    std::string name(reinterpret_cast<const char*>(a));
    open_anchors_.insert(name);
    anchors_.erase(name);
    return name;
  }
  void close_anchor(const std::string& name, const Value& v) {
    if (name.empty()) return;
    open_anchors_.erase(name);
    anchors_[name] = {v, count_nodes(v)};
  }

  Status alias(const std::string& name, const yaml_mark_t& mark, Value* out) {
    if (open_anchors_.count(name)) {
      return yaml_error("anchor '" + name + "' value contains itself");
    }
    auto at = anchors_.find(name);
    if (at == anchors_.end()) return yaml_error("unknown anchor '" + name + "' referenced");
    alias_nodes_ += at->second.nodes;
    if (alias_nodes_ > kMaxAliasNodes) {
      return yaml_error_at(mark, "document contains excessive aliasing");
    }
    *out = deep_copy(*arena_, at->second.value);
    return {};
  }

  // The scalar's value; `merge` says that a key is the merge key.
  Status scalar(const yaml_event_t& e, Value* out, bool* merge = nullptr) {
    const auto& s = e.data.scalar;
    std::string_view text(reinterpret_cast<const char*>(s.value), s.length);
    std::string_view tag = s.tag ? reinterpret_cast<const char*>(s.tag) : "";
    constexpr std::string_view kPrefix = "tag:yaml.org,2002:";
    bool standard = tag.substr(0, kPrefix.size()) == kPrefix;
    std::string_view short_tag = standard ? tag.substr(kPrefix.size()) : tag;
    bool plain = s.style == YAML_PLAIN_SCALAR_STYLE && tag.empty();
    if (!plain && (!standard || short_tag == "str")) {
      *out = Value::string(arena_->copy(text));
      return {};
    }
    if (standard && short_tag != "int" && short_tag != "float" && short_tag != "bool" &&
        short_tag != "null" && short_tag != "timestamp") {
      return yaml_error_at(e.start_mark, "cannot decode a scalar as !!" + std::string(short_tag));
    }
    yaml::Scalar r = yaml::resolve_plain(text);
    if (options_.scalars_as_text && r.kind != yaml::ScalarKind::kNull &&
        r.kind != yaml::ScalarKind::kMerge)
      r.kind = yaml::ScalarKind::kString;
    switch (r.kind) {
      case yaml::ScalarKind::kNull:
        *out = Value();
        break;
      case yaml::ScalarKind::kBool:
        *out = Value(r.boolean);
        break;
      case yaml::ScalarKind::kInt:
        *out = Value(r.integer);
        break;
      case yaml::ScalarKind::kFloat:
        if (!std::isfinite(r.number)) {
          return Status::bad_request("error converting YAML to JSON: json: unsupported value: " +
                                     std::string(std::isnan(r.number) ? "NaN"
                                                 : r.number > 0       ? "+Inf"
                                                                      : "-Inf"));
        }
        // JSON has one number type: 1e3 and 1.0 are integers to whoever reads them.
        if (r.number == std::floor(r.number) && std::fabs(r.number) < 9.2e18) {
          *out = Value(static_cast<int64_t>(r.number));
        } else {
          *out = Value(r.number);
        }
        break;
      case yaml::ScalarKind::kMerge:
        if (merge) *merge = true;
        [[fallthrough]];
      default:
        *out = Value::string(arena_->copy(text));
        break;
    }
    return {};
  }

  Status sequence(Event* e, Value* out, int depth) {
    *out = Value::list();
    while (true) {
      TRY(read(e));
      if (e->e.type == YAML_SEQUENCE_END_EVENT) return {};
      Value item;
      TRY(node(e, &item, depth + 1));
      out->append(*arena_, item);
    }
  }

  // A key's text: JSON knows only strings.
  Status key_text(const yaml_event_t& e, std::string_view* out, bool* merge) {
    Value v;
    TRY(scalar(e, &v, merge));
    switch (v.kind()) {
      case Value::Kind::kString:
        *out = v.as_string();
        return {};
      case Value::Kind::kBool:
        *out = v.as_bool() ? "true" : "false";
        return {};
      case Value::Kind::kInt:
        *out = arena_->copy(std::to_string(v.as_int()));
        return {};
      case Value::Kind::kDouble: {
        char buf[40];
        std::snprintf(buf, sizeof buf, "%.15g", v.as_double());
        *out = arena_->copy(buf);
        return {};
      }
      default:
        return yaml_error_at(e.start_mark, "unsupported map key of type: null");
    }
  }

  Status mapping(Event* e, Value* out, int depth) {
    *out = Value::map();
    std::unordered_set<std::string_view> keys;
    std::vector<Value> merges;
    while (true) {
      TRY(read(e));
      if (e->e.type == YAML_MAPPING_END_EVENT) break;
      std::string_view key;
      bool merge = false;
      size_t line = e->e.start_mark.line + 1;
      if (e->e.type == YAML_ALIAS_EVENT) {
        Value v;
        TRY(node(e, &v, depth + 1));
        if (!v.is_string()) return yaml_error_at(e->e.start_mark, "invalid map key");
        key = v.as_string();
      } else if (e->e.type == YAML_SCALAR_EVENT) {
        TRY(key_text(e->e, &key, &merge));
        if (e->e.data.scalar.anchor) {
          anchors_[reinterpret_cast<const char*>(e->e.data.scalar.anchor)] = {Value::string(key),
                                                                              1};
        }
      } else {
        return yaml_error_at(e->e.start_mark, "invalid map key: a key must be a scalar");
      }
      Value value;
      TRY(read(e));
      yaml_mark_t mark = e->e.start_mark;
      TRY(node(e, &value, depth + 1));
      if (merge) {
        TRY(collect_merge(mark, value, &merges));
        continue;
      }
      if (!keys.insert(key).second) {
        std::string what =
            "line " + std::to_string(line) + ": key " + quoted(key) + " already set in map";
        if (!options_.duplicates) return yaml_error("unmarshal errors:\n  " + what);
        if (options_.duplicates->size() < 100) options_.duplicates->push_back(what);
      }
      if (keys.size() > kMaxKeys) return yaml_error_at(mark, "a map has too many keys");
      out->set(*arena_, key, value);
    }
    for (const Value& m : merges) {
      for (const Member& member : m.members()) {
        if (out->size() > kMaxKeys) return yaml_error("a map has too many keys");
        if (!out->find(member.key())) out->set(*arena_, member.key(), member.value);
      }
    }
    return {};
  }

  // What `<<:` names, in order of precedence; keys of the map itself win over all of it.
  static Status collect_merge(const yaml_mark_t& mark, const Value& v, std::vector<Value>* out) {
    if (v.is_map()) {
      out->push_back(v);
      return {};
    }
    for (const Value& i : v.items()) {
      if (!i.is_map()) break;
      out->push_back(i);
    }
    if (v.is_list() && (v.empty() || v.items().back().is_map())) return {};
    return yaml_error_at(mark, "map merge requires map or sequence of maps as the value");
  }

  struct Anchor {
    Value value;
    size_t nodes = 0;
  };
  yaml_parser_t parser_{};
  YamlOptions options_;
  Arena* arena_ = nullptr;
  std::map<std::string, Anchor> anchors_;
  std::set<std::string> open_anchors_;
  size_t nodes_ = 0, alias_nodes_ = 0;
};

Status check_size(std::string_view text) {
  if (text.size() <= kMaxBytes) return {};
  return yaml_error("the text is longer than 32 MiB");
}

bool is_letter(unsigned char c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? true : c >= 0x80;
}
bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }

// The order of keys that upstream prints: numbers inside names by value, letters after the rest.
bool key_less(std::string_view a, std::string_view b) {
  size_t i = 0;
  while (i < a.size() && i < b.size() && a[i] == b[i]) ++i;
  if (i >= a.size() || i >= b.size()) return a.size() < b.size();
  auto ca = static_cast<unsigned char>(a[i]), cb = static_cast<unsigned char>(b[i]);
  bool la = is_letter(ca), lb = is_letter(cb);
  if (la && lb) return ca < cb;
  if (la || lb) return lb;
  uint64_t na = 0, nb = 0;
  if (ca == '0' || cb == '0') {
    // Inside a longer number a zero counts as a digit of it.
    for (size_t j = i; j > 0 && is_digit(static_cast<unsigned char>(a[j - 1])); --j) {
      if (a[j - 1] != '0') {
        na = nb = 1;
        break;
      }
    }
  }
  size_t ia = i, ib = i;
  for (; ia < a.size() && is_digit(static_cast<unsigned char>(a[ia])); ++ia) {
    na = na * 10 + static_cast<uint64_t>(a[ia] - '0');
  }
  for (; ib < b.size() && is_digit(static_cast<unsigned char>(b[ib])); ++ib) {
    nb = nb * 10 + static_cast<uint64_t>(b[ib] - '0');
  }
  if (na != nb) return na < nb;
  if (ia != ib) return ia < ib;
  return ca < cb;
}

class Writer {
 public:
  Writer() {
    yaml_emitter_initialize(&emitter_);
    yaml_emitter_set_output(&emitter_, &Writer::on_write, &out_);
    yaml_emitter_set_unicode(&emitter_, 1);
    yaml_emitter_set_width(&emitter_, 80);
  }
  ~Writer() { yaml_emitter_delete(&emitter_); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  std::string write(const Value& v) {
    yaml_event_t e;
    yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING);
    emit(&e);
    yaml_document_start_event_initialize(&e, nullptr, nullptr, nullptr, 1);
    emit(&e);
    node(v);
    yaml_document_end_event_initialize(&e, 1);
    emit(&e);
    yaml_stream_end_event_initialize(&e);
    emit(&e);
    yaml_emitter_flush(&emitter_);
    // libyaml marks the end after a text that keeps its last newlines; upstream does not.
    constexpr std::string_view kEnd = "...\n";
    if (out_.size() >= kEnd.size() && out_.compare(out_.size() - 4, 4, kEnd) == 0 &&
        (out_.size() == 4 || out_[out_.size() - 5] == '\n')) {
      out_.resize(out_.size() - 4);
    }
    return std::move(out_);
  }

 private:
  static int on_write(void* data, unsigned char* buffer, size_t size) {
    static_cast<std::string*>(data)->append(reinterpret_cast<char*>(buffer), size);
    return 1;
  }
  void emit(yaml_event_t* e) { yaml_emitter_emit(&emitter_, e); }

  void scalar(std::string_view text, yaml_scalar_style_t style) {
    yaml_event_t e;
    auto* data = reinterpret_cast<const yaml_char_t*>(text.empty() ? "" : text.data());
    yaml_scalar_event_initialize(&e, nullptr, nullptr, data, static_cast<int>(text.size()), 1, 1,
                                 style);
    emit(&e);
  }

  void string(std::string_view s) {
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (s.find('\n') != std::string_view::npos) {
      style = YAML_LITERAL_SCALAR_STYLE;
    } else if (yaml::resolve_plain(s).kind != yaml::ScalarKind::kString || yaml::looks_base60(s)) {
      style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    }
    scalar(s, style);
  }

  void node(const Value& v) {
    yaml_event_t e;
    switch (v.kind()) {
      case Value::Kind::kNull:
        scalar("null", YAML_PLAIN_SCALAR_STYLE);
        break;
      case Value::Kind::kBool:
        scalar(v.as_bool() ? "true" : "false", YAML_PLAIN_SCALAR_STYLE);
        break;
      case Value::Kind::kInt:
        scalar(std::to_string(v.as_int()), YAML_PLAIN_SCALAR_STYLE);
        break;
      case Value::Kind::kDouble:
        scalar(number(v.as_double()), YAML_PLAIN_SCALAR_STYLE);
        break;
      case Value::Kind::kString:
        string(v.as_string());
        break;
      case Value::Kind::kList:
        yaml_sequence_start_event_initialize(&e, nullptr, nullptr, 1, YAML_BLOCK_SEQUENCE_STYLE);
        emit(&e);
        for (const Value& i : v.items()) node(i);
        yaml_sequence_end_event_initialize(&e);
        emit(&e);
        break;
      case Value::Kind::kMap: {
        yaml_mapping_start_event_initialize(&e, nullptr, nullptr, 1, YAML_BLOCK_MAPPING_STYLE);
        emit(&e);
        std::vector<const Member*> sorted;
        for (const Member& m : v.members()) sorted.push_back(&m);
        std::sort(sorted.begin(), sorted.end(),
                  [](const Member* a, const Member* b) { return key_less(a->key(), b->key()); });
        for (const Member* m : sorted) {
          string(m->key());
          node(m->value);
        }
        yaml_mapping_end_event_initialize(&e);
        emit(&e);
        break;
      }
    }
  }

  // The shortest text that reads back as the same number.
  static std::string number(double d) {
    char buf[40];
    for (int digits = 15; digits <= 17; ++digits) {
      std::snprintf(buf, sizeof buf, "%.*g", digits, d);
      if (std::strtod(buf, nullptr) == d) break;
    }
    return buf;
  }

  yaml_emitter_t emitter_{};
  std::string out_;
};

// Where the JSON object ends that the text begins with; 0 when it does not end.
size_t object_end(std::string_view text) {
  size_t depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return 0;
}

// Takes the JSON objects off the front of a text, one after the other as `jq` writes them: YAML
// knows no such stream, nor tabs before a document. An object that is not JSON, or holds a member
// twice, stays, and all after it: YAML says what is wrong.
Status take_json_objects(std::string_view& text, std::vector<Document>& out) {
  for (;;) {
    const size_t start = text.find_first_not_of(" \t\r\n");
    if (start == text.npos) text.remove_prefix(text.size());
    if (start == text.npos || text[start] != '{') return {};
    const size_t size = object_end(text.substr(start));
    if (size == 0) return {};
    std::vector<std::string> twice;
    JsonOptions options;
    options.duplicates = &twice;
    Result<Document> read = parse_json(text.substr(start, size), options);
    if (!read.ok() || !twice.empty()) return {};
    if (out.size() >= kMaxDocuments) return yaml_error("more than 10000 documents");
    out.push_back(std::move(*read));
    text.remove_prefix(start + size);
  }
}

}  // namespace

Result<Document> parse_yaml(std::string_view text, YamlOptions options) {
  TRY(check_size(text));
  if (!options.scalars_as_text) {
    if (auto read = read_plain_json(text)) return std::move(*read);
  }
  Reader reader(text, options);
  Document doc;
  TRY(reader.next(&doc));
  return doc;
}

Result<std::vector<Document>> parse_yaml_all(std::string_view text, YamlOptions options) {
  TRY(check_size(text));
  std::vector<Document> out;
  if (!options.scalars_as_text) TRY(take_json_objects(text, out));
  Reader reader(text, options);
  while (true) {
    Document doc;
    TRY_ASSIGN(more, reader.next(&doc));
    if (!more) return out;
    if (doc.root.is_null()) continue;
    if (out.size() >= kMaxDocuments) return yaml_error("more than 10000 documents");
    out.push_back(std::move(doc));
  }
}

std::string write_yaml(const Value& v) { return Writer().write(v); }

}  // namespace keles
