#include "server/http/negotiate.h"

#include <stdlib.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace keles::server {
namespace {

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

std::string_view next_part(std::string_view& s, char separator) {
  size_t at = s.find(separator);
  std::string_view part = s.substr(0, at);
  s.remove_prefix(at == std::string_view::npos ? s.size() : at + 1);
  return trim(part);
}

std::string lower(std::string_view s) {
  std::string out(s);
  for (char& c : out) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return out;
}

// Its q parameter; 1 when it has none.
double quality(std::string_view clause) {
  while (!clause.empty()) {
    std::string_view p = next_part(clause, ';');
    if (!p.starts_with("q=")) continue;
    return std::clamp(strtod(std::string(p.substr(2)).c_str(), nullptr), 0.0, 1.0);
  }
  return 1;
}

// One media range with its parameters; nullopt when we cannot answer it.
std::optional<Accepted> range(std::string_view text, bool tables) {
  Accepted out;
  std::string type = lower(next_part(text, ';'));
  if (type == "application/json" || type == "*/*" || type == "application/*") {
    out.format = Format::kJson;
  } else if (type == "application/yaml") {
    out.format = Format::kYaml;
  } else if (type == "application/vnd.kubernetes.protobuf") {
    out.format = Format::kProtobuf;
  } else {
    return std::nullopt;
  }
  std::string_view as, group, version;
  while (!text.empty()) {
    std::string_view p = next_part(text, ';');
    size_t eq = p.find('=');
    std::string_view key = p.substr(0, eq),
                     value = eq == std::string_view::npos ? "" : p.substr(eq + 1);
    if (key == "as") as = value;
    if (key == "g") group = value;
    if (key == "v") version = value;
    if (key == "pretty") out.pretty = value == "1";
    if (key == "stream" && value != "watch") return std::nullopt;
  }
  if (as.empty()) return out;
  if (group != "meta.k8s.io" || (version != "v1" && version != "v1beta1")) return std::nullopt;
  out.beta = version == "v1beta1";
  if (as == "Table") {
    if (!tables || out.format == Format::kProtobuf) return std::nullopt;
    out.shape = Shape::kTable;
  } else if (as == "PartialObjectMetadata" || as == "PartialObjectMetadataList") {
    out.shape = Shape::kPartial;
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::string_view Accepted::content_type() const {
  switch (format) {
    case Format::kYaml:
      return "application/yaml";
    case Format::kProtobuf:
      return "application/vnd.kubernetes.protobuf";
    case Format::kJson:
      break;
  }
  return "application/json";
}

Result<Accepted> negotiate(std::string_view accept, bool tables) {
  if (trim(accept).empty()) return Accepted{};
  if (accept.find(',') == std::string_view::npos) {
    if (auto found = range(accept, tables)) return *found;
    accept = {};
  }
  std::vector<std::pair<double, std::string_view>> clauses;
  while (!accept.empty()) {
    std::string_view clause = next_part(accept, ',');
    clauses.emplace_back(quality(clause), clause);
  }
  std::stable_sort(clauses.begin(), clauses.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  for (const auto& [q, clause] : clauses) {
    if (auto found = range(clause, tables)) return *found;
  }
  return Status(Reason::kNotAcceptable,
                "only the following media types are accepted: application/json, "
                "application/yaml, application/vnd.kubernetes.protobuf");
}

bool human_agent(std::string_view user_agent) {
  return user_agent.starts_with("curl") || user_agent.starts_with("Wget") ||
         user_agent.starts_with("Mozilla/5.0");
}

std::string media_type(std::string_view content_type) {
  return lower(next_part(content_type, ';'));
}

Result<Format> body_format(std::string_view content_type) {
  std::string type = media_type(content_type);
  if (type.empty() || type == "application/json") return Format::kJson;
  if (type == "application/yaml") return Format::kYaml;
  if (type == "application/vnd.kubernetes.protobuf") return Format::kProtobuf;
  return Status(Reason::kUnsupportedMediaType,
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml, application/vnd.kubernetes.protobuf");
}

}  // namespace keles::server
