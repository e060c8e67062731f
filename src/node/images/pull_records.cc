#include "node/images/pull_records.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/time.h"
#include "net/pki.h"

namespace keles::node {
namespace {

constexpr size_t kMaxFile = 1 << 20, kMaxSecrets = 10'000, kMaxRecords = 100'000;
constexpr size_t kMostLearnt = 100;  // secrets that are noted without a pull
constexpr std::string_view kPrefix = "sha256-";

Status write_record(const std::string& path, const std::string& text) {
  TRY(make_directories(path.substr(0, path.rfind('/')), 0755));
  return write_file(path, text, 0600, true);
}

std::vector<std::string> record_files(const std::string& directory) {
  std::vector<std::string> out;
  auto names = list_directory(directory);
  if (!names.ok()) return out;
  for (const std::string& n : *names)
    if (n.starts_with(kPrefix) && n.find('.') == n.npos && out.size() < kMaxRecords)
      out.push_back(directory + "/" + n);
  return out;
}

void quoted_json(std::string& out, const char* name, std::string_view value) {
  if (out.back() != '{') out += ',';
  out += "\"" + std::string(name) + "\":";
  write_json_string(out, value);
}

CredentialSource read_source(const Value& v, bool account) {
  return CredentialSource(std::string(v["uid"].as_string()),
                          std::string(v["namespace"].as_string()),
                          std::string(v["name"].as_string()), account);
}

PulledRecord::Access read_access(const Value& v, size_t& budget) {
  PulledRecord::Access out;
  out.anyone = v["nodePodsAccessible"].as_bool();
  for (const Value& s : v["kubernetesSecrets"].items()) {
    if (budget == 0) break;
    --budget;
    RegistryCredential c;
    c.source = read_source(s, false);
    c.hash = s["credentialHash"].as_string();
    out.secrets.push_back(std::move(c));
  }
  for (const Value& s : v["kubernetesServiceAccounts"].items()) {
    if (budget == 0) break;
    --budget;
    out.accounts.push_back(read_source(s, true));
  }
  return out;
}

void write_source(std::string& out, const CredentialSource& s) {
  out += out.back() == '[' ? "{" : ",{";
  quoted_json(out, "uid", s.uid);
  quoted_json(out, "namespace", s.ns);
  quoted_json(out, "name", s.name);
}

bool is_before(const CredentialSource& a, const CredentialSource& b) {
  return std::tie(a.ns, a.name, a.uid) < std::tie(b.ns, b.name, b.uid);
}

// One of each source, in order. Whether that changed anything.
bool note(PulledRecord::Access& access, const RegistryCredential& shown) {
  if (shown.source.account) {
    auto at =
        std::lower_bound(access.accounts.begin(), access.accounts.end(), shown.source, is_before);
    if (at != access.accounts.end() && *at == shown.source) return false;
    access.accounts.insert(at, shown.source);
    return true;
  }
  auto at = std::find_if(access.secrets.begin(), access.secrets.end(),
                         [&](const auto& s) { return s.source == shown.source; });
  if (at != access.secrets.end()) return std::exchange(at->hash, shown.hash) != shown.hash;
  RegistryCredential known = shown;
  known.auth = {};
  access.secrets.push_back(std::move(known));
  std::sort(access.secrets.begin(), access.secrets.end(),
            [](const auto& a, const auto& b) { return is_before(a.source, b.source); });
  return true;
}

// Whether it was shown before: by what it says, or by whose it is.
bool is_known(const PulledRecord::Access& access, const RegistryCredential& mine) {
  if (mine.source.account)
    return std::find(access.accounts.begin(), access.accounts.end(), mine.source) !=
           access.accounts.end();
  for (const RegistryCredential& shown : access.secrets) {
    if (!mine.hash.empty() && mine.hash == shown.hash) return true;
    // A secret that has been given another credential is trusted still.
    if (!mine.source.uid.empty() && mine.source == shown.source &&
        access.secrets.size() < kMostLearnt)
      return true;
  }
  return false;
}

}  // namespace

Result<PullVerification::Policy> verification_policy(std::string_view name) {
  using P = PullVerification::Policy;
  if (name.empty() || name == "NeverVerifyPreloadedImages") return P::kNeverPreloaded;
  if (name == "NeverVerify") return P::kNever;
  if (name == "NeverVerifyAllowlistedImages") return P::kNeverAllowlisted;
  if (name == "AlwaysVerify") return P::kAlways;
  return Status::bad_request("unknown image pull credentials verification policy " + quoted(name));
}

Result<PulledRecord> parse_pulled_record(std::string_view json) {
  if (json.size() > kMaxFile) return Status::bad_request("the record is too large");
  TRY_ASSIGN(doc, parse_json(json));
  const Value& v = doc.root;
  if (v["kind"].as_string() != "ImagePulledRecord" || v["imageRef"].as_string().empty())
    return Status::bad_request("it is no ImagePulledRecord");
  PulledRecord out;
  out.image_ref = v["imageRef"].as_string();
  auto updated = parse_time(v["lastUpdatedTime"].as_string());
  if (updated.ok()) out.updated = *updated;
  size_t budget = kMaxSecrets;
  for (const Member& m : v["credentialMapping"].members())
    out.by_repository[std::string(m.key())] = read_access(m.value, budget);
  return out;
}

std::string pulled_record_text(const PulledRecord& r) {
  std::string out = "{";
  quoted_json(out, "kind", "ImagePulledRecord");
  quoted_json(out, "apiVersion", "kubelet.config.k8s.io/v1beta1");
  quoted_json(out, "lastUpdatedTime", format_time(r.updated));
  quoted_json(out, "imageRef", r.image_ref);
  out += ",\"credentialMapping\":{";
  for (const auto& [repository, access] : r.by_repository) {
    if (out.back() != '{') out += ',';
    write_json_string(out, repository);
    out += ":{";
    if (access.anyone) out += "\"nodePodsAccessible\":true";
    auto list = [&out](const char* name) {
      if (out.back() != '{') out += ',';
      out += "\"" + std::string(name) + "\":[";
    };
    if (!access.secrets.empty()) list("kubernetesSecrets");
    for (const RegistryCredential& c : access.secrets) {
      write_source(out, c.source);
      quoted_json(out, "credentialHash", c.hash);
      out += "}";
    }
    if (!access.secrets.empty()) out += "]";
    if (!access.accounts.empty()) list("kubernetesServiceAccounts");
    for (const CredentialSource& a : access.accounts) {
      write_source(out, a);
      out += "}";
    }
    if (!access.accounts.empty()) out += "]";
    out += "}";
  }
  return out + "}}";
}

std::string PullRecords::file(const char* kind, std::string_view name) const {
  return directory_ + "/" + kind + "/" + std::string(kPrefix) + net::hex(net::sha256(name));
}

void PullRecords::load(const std::vector<cri::Image>* images, WallTime now) {
  for (const std::string& path : record_files(directory_ + "/pulled")) {
    auto text = read_file(path, kMaxFile);
    auto record = text.ok() ? parse_pulled_record(*text) : text.status();
    if (record.ok()) {
      records_[record->image_ref] = std::move(*record);
    } else {
      log::warn("Cannot read the record of a pulled image",
                {{"file", path}, {"error", record.status()}});
    }
  }
  for (const std::string& path : record_files(directory_ + "/pulling")) {
    auto text = read_file(path, kMaxFile);
    auto doc = text.ok() ? parse_json(*text) : text.status();
    std::string image(doc.ok() ? doc->root["image"].as_string() : "");
    if (!images) {  // it may be here, and is then none that was brought along
      if (!image.empty()) ++intents_[image];
      continue;
    }
    for (const cri::Image& i : *images) {
      bool here = std::find(i.tags.begin(), i.tags.end(), image) != i.tags.end() ||
                  std::find(i.digests.begin(), i.digests.end(), image) != i.digests.end();
      if (image.empty() || !here || records_.contains(i.id)) continue;
      PulledRecord r;  // nobody has shown anything: all must
      r.image_ref = i.id;
      r.updated = now;
      records_[i.id] = std::move(r);
      (void)write(i.id)().ok();
    }
    (void)remove_file(path).ok();
  }
}

PullRecords::Job PullRecords::write(const std::string& ref) const {
  std::string path = file("pulled", ref), text = pulled_record_text(records_.at(ref));
  return [path, text] { return write_record(path, text); };
}

PullRecords::Job PullRecords::begin(const std::string& image) {
  ++intents_[image];
  std::string text = "{";
  quoted_json(text, "kind", "ImagePullIntent");
  quoted_json(text, "apiVersion", "kubelet.config.k8s.io/v1beta1");
  quoted_json(text, "image", image);
  text += "}";
  std::string path = file("pulling", image);
  return [path, text] { return write_record(path, text); };
}

PullRecords::Job PullRecords::failed(const std::string& image) {
  auto it = intents_.find(image);
  if (it == intents_.end() || --it->second > 0) return [] { return Status(); };
  intents_.erase(it);
  std::string path = file("pulling", image);
  return [path] { return remove_file(path); };
}

PullRecords::Job PullRecords::pulled(const std::string& image, const std::string& ref,
                                     const std::optional<RegistryCredential>& with, WallTime now) {
  PulledRecord& r = records_[ref];
  r.image_ref = ref;
  r.updated = now;
  PulledRecord::Access& access = r.by_repository[repository_of(image)];
  if (!with || with->source.uid.empty()) {
    access = {};
    access.anyone = true;
  } else if (!access.anyone) {
    (void)note(access, *with);
  }
  Job keep = write(ref), done = failed(image);
  return [keep, done] {
    TRY(keep());
    return done();
  };
}

PullRecords::Job PullRecords::learn(const std::string& image, const std::string& ref,
                                    const std::vector<RegistryCredential>& credentials,
                                    WallTime now) {
  auto record = records_.find(ref);
  if (record == records_.end()) return [] { return Status(); };
  auto at = record->second.by_repository.find(repository_of(image));
  if (at == record->second.by_repository.end() || at->second.anyone) return [] { return Status(); };
  bool changed = false;
  for (const RegistryCredential& c : credentials)
    if (!c.source.uid.empty() && !c.source.account && is_known(at->second, c) &&
        at->second.secrets.size() < kMostLearnt)
      changed = note(at->second, c) || changed;
  if (!changed) return [] { return Status(); };
  record->second.updated = now;
  return write(ref);
}

bool PullRecords::must_verify(std::string_view image, bool pulled_by_kubelet) const {
  switch (verification_.policy) {
    case PullVerification::Policy::kNeverPreloaded:
      return pulled_by_kubelet;
    case PullVerification::Policy::kNever:
      return false;
    case PullVerification::Policy::kAlways:
      return true;
    case PullVerification::Policy::kNeverAllowlisted:
      break;
  }
  const std::string repository = repository_of(image);
  for (std::string allowed : verification_.allowlist) {
    if (allowed == repository) return false;
    if (!allowed.ends_with("/*")) continue;
    allowed.pop_back();
    if (repository.starts_with(allowed)) return false;
  }
  return true;
}

bool PullRecords::must_pull(std::string_view image, const std::string& ref,
                            const std::vector<RegistryCredential>& credentials) const {
  auto record = records_.find(ref);
  bool known = record != records_.end() || intents_.contains(std::string(image));
  if (!must_verify(image, known)) return false;
  if (record == records_.end()) return true;
  auto access = record->second.by_repository.find(repository_of(image));
  if (access == record->second.by_repository.end()) return true;
  if (access->second.anyone) return false;
  return std::none_of(credentials.begin(), credentials.end(), [&](const RegistryCredential& mine) {
    return is_known(access->second, mine);
  });
}

bool PullRecords::can_be_shown(std::string_view image, const std::string& ref) const {
  const auto record = records_.find(ref);
  if (record == records_.end()) return false;
  const auto access = record->second.by_repository.find(repository_of(image));
  if (access == record->second.by_repository.end()) return false;
  return !access->second.secrets.empty() || !access->second.accounts.empty();
}

std::vector<PullRecords::Job> PullRecords::prune(const std::vector<cri::Image>& left,
                                                 WallTime before) {
  std::vector<Job> out;
  for (auto it = records_.begin(); it != records_.end();) {
    bool here = std::any_of(left.begin(), left.end(),
                            [&](const cri::Image& i) { return i.id == it->first; });
    if (here || !(it->second.updated < before)) {
      ++it;
      continue;
    }
    std::string path = file("pulled", it->first);
    out.emplace_back([path] { return remove_file(path); });
    it = records_.erase(it);
  }
  return out;
}

}  // namespace keles::node
