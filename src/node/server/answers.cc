#include "node/server/answers.h"

#include <algorithm>

#include "base/encoding.h"

namespace keles::node {

std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query) {
  std::vector<std::pair<std::string, std::string>> out;
  while (!query.empty() && out.size() < 1000) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    size_t eq = pair.find('=');
    auto name = percent_decode(pair.substr(0, eq), true);
    auto value = percent_decode(eq == pair.npos ? "" : pair.substr(eq + 1), true);
    if (name && value) out.emplace_back(std::move(*name), std::move(*value));
  }
  return out;
}

bool Query::has(std::string_view name) const {
  return std::any_of(pairs_.begin(), pairs_.end(), [&](const auto& p) { return p.first == name; });
}

std::string Query::get(std::string_view name) const {
  for (const auto& [k, v] : pairs_) {
    if (k == name) return v;
  }
  return "";
}

std::vector<std::string> Query::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [k, v] : pairs_) {
    if (k == name) out.push_back(v);
  }
  return out;
}

std::optional<int64_t> Query::number(std::string_view name) const {
  const std::string v = get(name);
  int64_t n = 0;
  auto r = std::from_chars(v.data(), v.data() + v.size(), n);
  if (v.empty() || r.ec != std::errc() || r.ptr != v.data() + v.size()) return std::nullopt;
  return n;
}

std::vector<std::string> split_path(std::string_view path) {
  std::vector<std::string> out;
  while (!path.empty()) {
    if (path[0] == '/') {
      path.remove_prefix(1);
      continue;
    }
    std::string_view part = path.substr(0, path.find('/'));
    out.push_back(percent_decode_leniently(part));
    path.remove_prefix(part.size());
  }
  return out;
}

Task<void> answer(net::Responder* responder, int code, std::string type, std::string body) {
  net::Headers headers;
  headers.set("Content-Type", std::move(type));
  std::vector<net::SharedBytes> parts = net::as_body(std::move(body));
  (void)co_await responder->respond(code, std::move(headers), std::move(parts));
}

Task<void> plain(net::Responder* responder, int code, std::string body) {
  return answer(responder, code, "text/plain; charset=utf-8", std::move(body));
}

Task<void> not_found(net::Responder* responder) {
  return plain(responder, 404, "404 page not found\n");
}

}  // namespace keles::node
