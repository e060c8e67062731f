#include "node/images/keyring.h"

#include <fnmatch.h>

#include <algorithm>

#include "base/encoding.h"
#include "machinery/codec_json.h"
#include "net/pki.h"

namespace keles::node {
namespace {

constexpr std::string_view kDockerHub = "docker.io", kDockerIndex = "index.docker.io";
constexpr size_t kMaxEntries = 10'000;

bool is_host(std::string_view part) {
  return part.find_first_of(".:") != part.npos || part == "localhost" ||
         std::any_of(part.begin(), part.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

// Host, port and path of "host:port/path".
struct Place {
  std::string_view host, port, path;
};
Place split(std::string_view text) {
  size_t slash = text.find('/');
  Place out;
  out.host = text.substr(0, slash);
  if (slash != text.npos) out.path = text.substr(slash);
  size_t colon = out.host.rfind(':');
  if (colon != out.host.npos) {
    out.port = out.host.substr(colon + 1);
    out.host = out.host.substr(0, colon);
  }
  return out;
}

std::string_view next_label(std::string_view& host) {
  std::string_view label = host.substr(0, host.find('.'));
  host.remove_prefix(std::min(host.size(), label.size() + 1));
  return label;
}

// What an entry is looked up by: without scheme, nor the API's version.
std::string key_of(std::string_view entry) {
  for (std::string_view scheme : {"https://", "http://"})
    if (entry.starts_with(scheme)) {
      entry.remove_prefix(scheme.size());
      break;
    }
  size_t slash = entry.find('/');
  std::string host(entry.substr(0, slash)), path;
  if (slash != entry.npos) path = entry.substr(slash);
  path.resize(std::min(path.find_first_of("?#"), path.size()));
  if (path.starts_with("/v1/") || path.starts_with("/v2/")) path.erase(0, 3);
  return path == "/" ? host : host + path;
}

// "user:password" in base64, as docker writes `auth`.
bool read_auth(std::string_view text, cri::ImageAuth& out) {
  std::string padded(text);
  while (padded.size() % 4 != 0) padded += '=';
  auto plain = base64_decode(padded);
  if (!plain.ok()) return false;
  size_t colon = plain->find(':');
  if (colon == std::string::npos) return false;
  out.username = plain->substr(0, colon);
  out.password = plain->substr(colon + 1);
  while (out.password.ends_with('\0')) out.password.pop_back();
  while (out.password.starts_with('\0')) out.password.erase(0, 1);
  return true;
}

std::string hash_of(const cri::ImageAuth& a, std::string_view email) {
  std::string json = "{";
  auto field = [&](const char* name, std::string_view value) {
    if (value.empty()) return;
    if (json.size() > 1) json += ",";
    json += "\"" + std::string(name) + "\":";
    write_json_string(json, value);
  };
  field("username", a.username);
  field("password", a.password);
  field("email", email);
  return net::hex(net::sha256(json + "}"));
}

}  // namespace

std::string repository_of(std::string_view image) {
  std::string_view name = image.substr(0, image.find('@'));
  size_t slash = name.rfind('/'), colon = name.rfind(':');
  if (colon != name.npos && (slash == name.npos || colon > slash)) name = name.substr(0, colon);
  size_t first = name.find('/');
  if (first == name.npos) return std::string(kDockerHub) + "/library/" + std::string(name);
  std::string_view host = name.substr(0, first);
  if (!is_host(host)) return std::string(kDockerHub) + "/" + std::string(name);
  if (host != kDockerHub && host != kDockerIndex) return std::string(name);
  std::string_view rest = name.substr(first + 1);
  std::string middle = rest.find('/') == rest.npos ? "/library/" : "/";
  return std::string(kDockerHub) + middle + std::string(rest);
}

bool registry_matches(std::string_view entry, std::string_view repository) {
  Place want = split(entry), have = split(repository);
  if (want.port != have.port || !have.path.starts_with(want.path)) return false;
  while (!want.host.empty() && !have.host.empty()) {
    std::string pattern(next_label(want.host)), label(next_label(have.host));
    if (fnmatch(pattern.c_str(), label.c_str(), 0) != 0) return false;
  }
  return want.host.empty() && have.host.empty();
}

void Keyring::add(std::string_view json, const CredentialSource& source) {
  auto doc = parse_json(json);
  if (!doc.ok()) return;
  const Value* auths = doc->root.find("auths");
  if (!auths) auths = &doc->root;  // the older form
  for (const Member& m : auths->members()) {
    if (size_ >= kMaxEntries) return;
    RegistryCredential c;
    c.auth.username = m.value["username"].as_string();
    c.auth.password = m.value["password"].as_string();
    std::string_view auth = m.value["auth"].as_string();
    if (!auth.empty() && !read_auth(auth, c.auth)) continue;
    c.hash = hash_of(c.auth, m.value["email"].as_string());
    c.source = source;
    std::string key = key_of(m.key());
    if (key.empty()) continue;
    entries_[key].push_back(std::move(c));
    ++size_;
  }
}

std::vector<RegistryCredential> Keyring::lookup(std::string_view image) const {
  std::vector<RegistryCredential> out;
  const std::string repository = repository_of(image);
  for (const auto& [key, list] : entries_)
    if (registry_matches(key, repository)) out.insert(out.end(), list.begin(), list.end());
  if (!out.empty() || !repository.starts_with(std::string(kDockerHub) + "/")) return out;
  auto hub = entries_.find(std::string(kDockerIndex));
  return hub == entries_.end() ? out : hub->second;
}

}  // namespace keles::node
