#include "machines/bootstrap_token.h"

#include <algorithm>

#include "base/encoding.h"
#include "base/text_parts.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::machines {

using api::core_v1::Secret;
using api::core_v1::SecretEdit;

namespace {

constexpr std::string_view kUsages[] = {"signing", "authentication"};
constexpr std::string_view kUsage = "usage-bootstrap-";
constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyz";

bool is_of(std::string_view text, size_t size) {
  return text.size() == size && text.find_first_not_of(kLetters) == std::string_view::npos;
}

std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& one : list) out += (out.empty() ? "" : ",") + one;
  return out;
}

// No bias: bytes beyond the last whole round of letters are thrown away.
std::string random_text(size_t size) {
  std::string out;
  while (out.size() < size)
    for (char c : net::random_bytes(size))
      if (auto byte = static_cast<unsigned char>(c); out.size() < size && byte < 252)
        out += kLetters[byte % kLetters.size()];
  return out;
}

bool is_group(std::string_view g) {
  constexpr std::string_view kPrefix = "system:bootstrappers:";
  if (!g.starts_with(kPrefix)) return false;
  g.remove_prefix(kPrefix.size());
  if (g.empty() || g.size() > 256 || g.back() == ':' || g.back() == '-') return false;
  return std::all_of(g.begin(), g.end(), [](char c) {
    return kLetters.find(c) != std::string_view::npos || c == ':' || c == '-';
  });
}

std::string padded(std::string text, size_t width) {
  if (text.size() < width) text.resize(width, ' ');
  return text;
}

// As Go's duration.ShortHumanDuration.
std::string short_duration(Duration d) {
  const int64_t s = std::chrono::duration_cast<std::chrono::seconds>(d).count();
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  if (s < 60) return std::to_string(s) + "s";
  if (s < 3600) return std::to_string(s / 60) + "m";
  if (s < 86400) return std::to_string(s / 3600) + "h";
  if (s < 86400 * 365) return std::to_string(s / 86400) + "d";
  return std::to_string(s / (86400 * 365)) + "y";
}

std::vector<std::string> row_of(const BootstrapToken& t, WallTime now) {
  auto or_none = [](std::string text) { return text.empty() ? std::string("<none>") : text; };
  return {t.text(),
          padded(t.expires ? short_duration(*t.expires - now) : "<forever>", 9),
          t.expires ? format_time(*t.expires) : "<never>",
          padded(or_none(joined(t.usages)), 22),
          padded(or_none(t.description), 56),
          or_none(joined(t.groups))};
}

// Columns of at least ten characters, three of them empty.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows[0].size(), 10);
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size() + 3);
  std::string out;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) out += padded(row[i], widths[i]);
    out += row.back() + "\n";
  }
  return out;
}

}  // namespace

bool is_token_id(std::string_view text) { return is_of(text, 6); }

Result<BootstrapToken> parse_token(std::string_view text) {
  const bool fits = text.size() == 23 && text[6] == '.' && is_of(text.substr(0, 6), 6) &&
                    is_of(text.substr(7), 16);
  if (!fits)
    return Status::bad_request("the bootstrap token \"" + std::string(text) +
                               "\" was not of the form "
                               "\"\\\\A([a-z0-9]{6})\\\\.([a-z0-9]{16})\\\\z\"");
  BootstrapToken out;
  out.id = text.substr(0, 6);
  out.secret = text.substr(7);
  return out;
}

BootstrapToken generate_token() {
  BootstrapToken out;
  out.id = random_text(6);
  out.secret = random_text(16);
  return out;
}

Status check_token(const BootstrapToken& token) {
  std::string wrong;
  for (const std::string& u : token.usages)
    if (std::find(std::begin(kUsages), std::end(kUsages), u) == std::end(kUsages))
      wrong += (wrong.empty() ? "" : ",") + u;
  if (!wrong.empty())
    return Status::bad_request("invalid bootstrap token usage string: " + wrong +
                               ", valid usage options: signing,authentication");
  for (const std::string& g : token.groups)
    if (!is_group(g))
      return Status::bad_request("bootstrap group \"" + g +
                                 "\" is invalid (must match "
                                 "\\Asystem:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]\\z)");
  return {};
}

std::string token_secret_name(std::string_view id) { return "bootstrap-token-" + std::string(id); }

Document token_secret(const BootstrapToken& token) {
  Draft<SecretEdit> s;
  s->edit_metadata().set_namespace_("kube-system");
  s->edit_metadata().set_name(token_secret_name(token.id));
  s->set_type("bootstrap.kubernetes.io/token");
  auto data = s->edit_data();
  auto put = [&data](std::string_view key, std::string_view value) {
    if (!value.empty()) data.set(key, base64_encode(value));
  };
  put("token-id", token.id);
  put("token-secret", token.secret);
  put("description", token.description);
  if (token.expires) put("expiration", format_time(*token.expires));
  for (const std::string& u : token.usages) put(std::string(kUsage) + u, "true");
  put("auth-extra-groups", joined(token.groups));
  return s.take();
}

Result<BootstrapToken> token_of(const Secret& secret) {
  BootstrapToken out;
  auto get = [&secret](std::string_view key) {
    auto bytes = base64_decode(secret.data().get(key));
    return bytes.ok() ? *bytes : std::string();
  };
  out.id = get("token-id");
  out.secret = get("token-secret");
  TRY(parse_token(out.text()).status());
  if (secret.metadata().name() != token_secret_name(out.id))
    return Status::bad_request("bootstrap token name is not of the form 'bootstrap-token-" +
                               out.id + "'. Actual: '" + std::string(secret.metadata().name()) +
                               "'");
  out.description = get("description");
  const std::string expires = get("expiration");
  if (!expires.empty()) {
    TRY_ASSIGN(at, parse_time(expires));
    out.expires = at;
  }
  for (std::string_view u : {"authentication", "signing"})  // sorted
    if (get(std::string(kUsage) + std::string(u)) == "true") out.usages.emplace_back(u);
  const std::string groups(get("auth-extra-groups"));
  for (std::string_view group : split_list(groups))
    if (!group.empty()) out.groups.emplace_back(group);
  std::sort(out.groups.begin(), out.groups.end());
  return out;
}

std::string token_table(const std::vector<BootstrapToken>& tokens, WallTime now) {
  std::string out;
  for (const BootstrapToken& t : tokens) {
    std::vector<std::vector<std::string>> rows;
    if (out.empty())
      rows.push_back({"TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"});
    rows.push_back(row_of(t, now));
    out += aligned(rows);
  }
  return out;
}

}  // namespace keles::machines
