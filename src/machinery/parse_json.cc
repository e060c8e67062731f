// Reading of JSON, by simdjson.
#include <simdjson.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <unordered_map>
#include <vector>

#include "machinery/codec_json.h"

namespace keles {

namespace {

namespace dom = simdjson::dom;

// A parser keeps its buffers; those of unusually large texts are not kept.
constexpr size_t kKeptParserBytes = 256 * 1024;
// Above this many members an object is searched by a hash table.
constexpr size_t kLinearMembers = 24;

constexpr size_t kMaxDuplicates = 100;  // that are named

class TreeBuilder {
 public:
  TreeBuilder(Arena& arena, JsonOptions options) : arena_(arena), options_(options) {
    path_.reserve(kUsualDepth);
  }

  Value build(const dom::element& e) {
    switch (e.type()) {
      case dom::element_type::ARRAY:
        return build_list(dom::array(e));
      case dom::element_type::OBJECT:
        return build_map(dom::object(e));
      case dom::element_type::INT64:
        return Value(int64_t(e));
      case dom::element_type::UINT64:
        return Value(static_cast<double>(uint64_t(e)));
      case dom::element_type::DOUBLE:
        return Value(double(e));
      case dom::element_type::STRING:
        return Value::string(arena_.copy(std::string_view(e)));
      case dom::element_type::BOOL:
        return Value(bool(e));
      default:
        return Value();
    }
  }

 private:
  struct Step {
    std::string_view key;
    size_t index;
  };

  Value build_list(dom::array a) {
    Value out = Value::list();
    out.reserve_items(arena_, a.size());
    size_t i = 0;
    for (dom::element x : a) {
      path_.push_back({{}, i++});
      out.append(arena_, build(x));
      path_.pop_back();
    }
    return out;
  }

  Value build_map(dom::object o) {
    Value out = Value::map();
    out.reserve_members(arena_, o.size());
    std::unordered_map<std::string_view, size_t> index;
    const bool hashed = o.size() > kLinearMembers;
    for (auto field : o) {
      path_.push_back({field.key, 0});
      Value v = build(field.value);
      Value* old = nullptr;
      if (hashed) {
        auto [at, fresh] = index.try_emplace(field.key, out.size());
        if (!fresh) old = &out.members()[at->second].value;
      } else {
        old = out.find(field.key);
      }
      if (old != nullptr) {
        *old = v;
        if (options_.duplicates != nullptr && options_.duplicates->size() < kMaxDuplicates) {
          options_.duplicates->push_back(path());
        }
      } else {
        out.append_member(arena_, arena_.copy(field.key), v);
      }
      path_.pop_back();
    }
    return out;
  }

  std::string path() const {
    std::string out;
    for (const Step& s : path_) {
      if (s.key.data() == nullptr) {
        out += '[' + std::to_string(s.index) + ']';
      } else {
        if (!out.empty()) out += '.';
        out += s.key;
      }
    }
    return out;
  }

  static constexpr size_t kUsualDepth = 16;
  Arena& arena_;
  JsonOptions options_;
  std::vector<Step> path_;
};

// The reader keeps integers beyond 64 bits and numbers beyond a double from us; Go reads the one as
// floats and refuses the other. The text with a fraction behind each such integer, or Go's error.
Result<std::string> with_fractions(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 64);
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    if (text[i] == '"') {
      for (++i; i < text.size() && text[i] != '"'; ++i) i += text[i] == '\\';
      out.append(text.substr(start, ++i - start));
      continue;
    }
    if (text[i] != '-' && (text[i] < '0' || text[i] > '9')) {
      out += text[i++];
      continue;
    }
    i = std::min(text.find_first_not_of("+-.0123456789eE", start), text.size());
    const std::string number(text.substr(start, i - start));
    if (!std::isfinite(std::strtod(number.c_str(), nullptr))) {
      return Status::bad_request("json: cannot unmarshal number " + number +
                                 " into Go value of type float64");
    }
    out += number;
    constexpr size_t kDigits = 18;  // that any int64 holds
    if (number.size() > kDigits && number.find_first_of(".eE") == number.npos) out += ".0";
  }
  return out;
}

Result<Value> parse_with(dom::parser& parser, Arena& arena, std::string_view text,
                         JsonOptions options, bool again = false) {
  if (text.data() == nullptr) text = "";  // simdjson copies from it, which null forbids
  if (parser.capacity() < text.size()) {
    if (parser.allocate(text.size(), kMaxJsonDepth) != simdjson::SUCCESS) {
      return Status::bad_request("JSON too large");
    }
  }
  dom::element root;
  auto error = parser.parse(text.data(), text.size(), true).get(root);
  if (error == simdjson::DEPTH_ERROR) return Status::bad_request("exceeded max depth");
  if (error != simdjson::SUCCESS) {
    std::string why = json_syntax_error(text);
    if (!why.empty() || again) {
      return Status::bad_request(why.empty() ? simdjson::error_message(error) : why);
    }
    TRY_ASSIGN(plain, with_fractions(text));
    return parse_with(parser, arena, plain, options, true);
  }
  return TreeBuilder(arena, options).build(root);
}

}  // namespace

Result<Value> parse_json(Arena& arena, std::string_view text, JsonOptions options) {
  if (text.size() > kKeptParserBytes) {
    dom::parser parser;
    return parse_with(parser, arena, text, options);
  }
  thread_local std::unique_ptr<dom::parser> parser;
  if (parser == nullptr) {
    parser = std::make_unique<dom::parser>();
    if (parser->allocate(4096, kMaxJsonDepth) != simdjson::SUCCESS) {
      parser.reset();
      return Status::internal("no memory for a JSON parser");
    }
  }
  return parse_with(*parser, arena, text, options);
}

Result<Document> parse_json(std::string_view text, JsonOptions options) {
  Document doc;
  auto root = parse_json(doc.arena, text, options);
  if (!root.ok()) return root.status();
  doc.root = *root;
  return doc;
}

}  // namespace keles
