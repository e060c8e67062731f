#include "machines/version_skew.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace keles::machines {
namespace {

constexpr int kOldestNode = 3, kClient = 1;  // minors

bool read_number(std::string_view* text, int* out) {
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), *out);
  if (error != std::errc() || *out < 0) return false;
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return true;
}

std::string minors(int n) { return std::to_string(n) + (n == 1 ? " minor" : " minors"); }

}  // namespace

std::optional<MinorVersion> parse_minor(std::string_view text) {
  MinorVersion out;
  if (text.starts_with('v')) text.remove_prefix(1);
  if (!read_number(&text, &out.major) || !text.starts_with('.')) return std::nullopt;
  text.remove_prefix(1);
  if (!read_number(&text, &out.minor)) return std::nullopt;
  if (!text.empty() && text.front() != '.' && text.front() != '+' && text.front() != '-')
    return std::nullopt;
  return out;
}

std::string skew_problem(const VersionOf& what, std::string_view server_version) {
  const auto server = parse_minor(server_version), own = parse_minor(what.version);
  if (!server || !own) return "no version that can be compared";
  if (server->major != own->major) return "of another major version than the server";
  const int older = server->minor - own->minor;
  const bool node = what.component == "kubelet" || what.component == "kube-proxy";
  if (node && older < 0)
    return "newer than the server by " + minors(-older) + ": upgrade that first";
  if (node && older > kOldestNode)
    return "older than the server by " + minors(older) + ": at most three are supported";
  if (!node && std::abs(older) > kClient)
    return minors(std::abs(older)) + " from the server: at most one is supported";
  return "";
}

std::string skew_table(const std::vector<VersionOf>& all, std::string_view server_version) {
  std::vector<std::array<std::string, 4>> rows = {{"COMPONENT", "NAME", "VERSION", "SKEW"}};
  for (const VersionOf& v : all) {
    const bool server = v.component == "server";
    const std::string problem = server ? "" : skew_problem(v, server_version);
    rows.push_back({v.component, v.name, v.version, problem.empty() ? "ok" : problem});
  }
  std::array<size_t, 4> widths{};
  for (const auto& r : rows)
    for (size_t i = 0; i < r.size(); ++i) widths[i] = std::max(widths[i], r[i].size());
  std::string out;
  for (const auto& r : rows) {
    for (size_t i = 0; i + 1 < r.size(); ++i)
      out += r[i] + std::string(widths[i] - r[i].size() + 3, ' ');
    out += r.back() + "\n";
  }
  return out;
}

}  // namespace keles::machines
