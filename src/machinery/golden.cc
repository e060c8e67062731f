#include "machinery/golden.h"

#include <algorithm>
#include <array>
#include <vector>

#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/filled_object.h"

namespace keles {
namespace {

constexpr int kMaxDepth = 60;
// A message of fewer bytes is written where it stands.
constexpr size_t kWorthNaming = 8;

// "io.k8s.api.core.v1.PodSpec" -> "core.v1.PodSpec".
std::string short_name(const TypeDesc& type) {
  size_t at = type.name.size();
  for (int dots = 0; dots < 3 && at > 0; ++dots) {
    size_t dot = type.name.rfind('.', at - 1);
    if (dot == std::string_view::npos) return std::string(type.name);
    at = dot;
  }
  return std::string(type.name.substr(at + 1));
}

void append_escaped(std::string& out, char c) {
  constexpr char kDigits[] = "0123456789abcdef";
  auto b = static_cast<unsigned char>(c);
  if (c == '\\' || c == '<') {
    out += '\\';
    out += c;
  } else if (b >= 0x20 && b < 0x7f) {
    out += c;
  } else {
    out += "\\x";
    out += kDigits[b >> 4];
    out += kDigits[b & 15];
  }
}

int digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Calls text(bytes) and name(n) for the pieces of a line. False: it is malformed, or a call was.
template <class Text, class Name>
bool each_piece(std::string_view line, Text text, Name name) {
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '<') {
      size_t end = line.find('>', i);
      if (end == std::string_view::npos || !name(std::string(line.substr(i + 1, end - i - 1))))
        return false;
      i = end;
    } else if (line[i] != '\\') {
      text(line[i]);
    } else if (i + 1 < line.size() && (line[i + 1] == '\\' || line[i + 1] == '<')) {
      text(line[++i]);
    } else if (i + 3 < line.size() && line[i + 1] == 'x' && digit(line[i + 2]) >= 0 &&
               digit(line[i + 3]) >= 0) {
      text(static_cast<char>(digit(line[i + 2]) * 16 + digit(line[i + 3])));
      i += 3;
    } else {
      return false;
    }
  }
  return true;
}

bool well_formed(std::string_view line) {
  return each_piece(
      line, [](char) {}, [](const std::string&) { return true; });
}

std::string with_length(std::string_view bytes) {
  std::string out;
  append_varint(out, bytes.size());
  out += bytes;
  return out;
}

Golden::Texts encoded(const TypeDesc& type) {
  Document d;
  d.root = filled(d.arena, type);
  Golden::Texts out;
  write_json(out.json, type, d.root);
  out.protobuf = encode_protobuf(type, d.root);
  return out;
}

struct Part {
  std::string name, bytes;
};

// `bytes` with each of `parts` that stands in it named.
std::string folded(std::string_view bytes, const std::vector<Part>& parts) {
  std::string out;
  while (!bytes.empty()) {
    const Part* found = nullptr;
    for (const Part& p : parts) {
      if (!bytes.starts_with(p.bytes)) continue;
      if (!found || p.bytes.size() > found->bytes.size()) found = &p;
    }
    if (found) {
      out += '<' + found->name + '>';
      bytes.remove_prefix(found->bytes.size());
    } else {
      append_escaped(out, bytes[0]);
      bytes.remove_prefix(1);
    }
  }
  return out;
}

}  // namespace

std::string escaped(std::string_view bytes) {
  std::string out;
  for (char c : bytes) append_escaped(out, c);
  return out;
}

Status Golden::read(std::string_view file) {
  std::vector<std::string_view> lines;
  while (!file.empty()) {
    size_t end = std::min(file.find('\n'), file.size());
    lines.push_back(file.substr(0, end));
    file.remove_prefix(std::min(end + 1, file.size()));
  }
  if (lines.size() % 3 != 0) return Status::bad_request("golden: not three lines a type");
  for (size_t i = 0; i < lines.size(); i += 3) {
    Texts t{std::string(lines[i + 1]), std::string(lines[i + 2])};
    if (!well_formed(t.json) || !well_formed(t.protobuf))
      return Status::bad_request("golden: malformed: " + std::string(lines[i]));
    if (!lines_.emplace(lines[i], std::move(t)).second)
      return Status::bad_request("golden: twice: " + std::string(lines[i]));
  }
  return Status();
}

std::optional<std::string> Golden::expand(const std::string& name, bool json, int depth) const {
  auto at = lines_.find(name);
  if (at == lines_.end() || depth > kMaxDepth) return std::nullopt;
  std::string out;
  bool ok = each_piece(
      json ? at->second.json : at->second.protobuf, [&](char c) { out += c; },
      [&](const std::string& inner) {
        auto text = expand(inner, json, depth + 1);
        if (text) out += json ? *text : with_length(*text);
        return text.has_value();
      });
  if (!ok) return std::nullopt;
  return out;
}

std::optional<Golden::Texts> Golden::of(const std::string& name) const {
  auto json = expand(name, true, 0), protobuf = expand(name, false, 0);
  if (!json || !protobuf) return std::nullopt;
  return Texts{std::move(*json), std::move(*protobuf)};
}

std::optional<Golden::Texts> Golden::of(const TypeDesc& type) const { return of(short_name(type)); }

std::map<std::string, std::string> Golden::write(std::span<const TypeDesc* const> types) {
  std::map<std::string, std::string> files;
  for (const TypeDesc* type : types) {
    std::vector<Part> in_json, in_protobuf;
    for (const FieldDesc& f : type->fields) {
      if (!f.message || f.message == type || f.message->form != Form::kObject) continue;
      Texts inner = encoded(*f.message);
      std::string name = short_name(*f.message);
      if (inner.protobuf.size() < kWorthNaming) continue;
      in_json.push_back({name, inner.json});
      in_protobuf.push_back({name, with_length(inner.protobuf)});
    }
    const std::string name = short_name(*type);
    const Texts whole = encoded(*type);
    std::string file = name.substr(0, name.rfind('.'));
    std::replace(file.begin(), file.end(), '.', '_');
    files[file + ".txt"] += name + '\n' + folded(whole.json, in_json) + '\n' +
                            folded(whole.protobuf, in_protobuf) + '\n';
  }
  return files;
}

}  // namespace keles
