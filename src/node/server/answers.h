// Small things that all of the kubelet's handlers need: queries, and short answers.
#pragma once

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/task.h"
#include "net/http.h"

namespace keles::node {

// Query strings: name -> values, percent-decoded; a malformed pair is left out, as Go does. At most
// 1,000 pairs.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

class Query {
 public:
  explicit Query(std::string_view text) : pairs_(parse_query(text)) {}
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }
  bool has(std::string_view name) const;
  std::string get(std::string_view name) const;
  std::vector<std::string> all(std::string_view name) const;
  bool flag(std::string_view name) const {
    const std::string v = get(name);
    return v == "true" || v == "1";
  }
  // Nothing when it is not a number, whole.
  std::optional<int64_t> number(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// A path's parts, decoded; empty ones are none.
std::vector<std::string> split_path(std::string_view path);

Task<void> answer(net::Responder* responder, int code, std::string type, std::string body);
Task<void> plain(net::Responder* responder, int code, std::string body);
Task<void> not_found(net::Responder* responder);

}  // namespace keles::node
