#include "store/encryption/encryption.h"

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "machinery/kind_facts.h"
#include "machinery/schema.h"
#include "net/pki.h"
#include "store/encryption/ciphers.h"
#include "store/encryption/config.h"
#include "store/encryption/kms.h"

namespace keles {
namespace {

using encryption::GroupResource;
using encryption::Kms;
using encryption::ProviderConfig;

constexpr Duration kLook = 5s;
constexpr size_t kMostConfig = 1u << 20;

metrics::Counter& operations_total() {
  static metrics::Counter& c = metrics::counter(
      "apiserver_storage_transformation_operations_total",
      "Total number of transformations. Successful transformation will have a status 'OK' and a "
      "varied status string when the transformation fails. The status, resource, and "
      "transformation_type fields can be used for alerting purposes. For example, you can monitor "
      "for encryption/decryption failures using the transformation_type (e.g., from_storage for "
      "decryption and to_storage for encryption). Additionally, these fields can be used to ensure "
      "that the correct transformers are applied to each resource.",
      {"resource", "status", "transformation_type", "transformer_prefix"});
  return c;
}

metrics::Histogram& durations() {
  static metrics::Histogram& h = metrics::histogram(
      "apiserver_storage_transformation_duration_seconds",
      "Latencies in seconds of value transformation operations.",
      {"resource", "transformation_type", "transformer_prefix"},
      {5e-06,   1e-05,   2e-05,   4e-05,    8e-05,    0.00016,  0.00032, 0.00064, 0.00128,
       0.00256, 0.00512, 0.01024, 0.02048,  0.04096,  0.08192,  0.16384, 0.32768, 0.65536,
       1.31072, 2.62144, 5.24288, 10.48576, 20.97152, 41.94304, 83.88608});
  return h;
}

metrics::Counter& reloads_total() {
  static metrics::Counter& c =
      metrics::counter("apiserver_encryption_config_controller_automatic_reloads_total",
                       "Total number of reload successes and failures of encryption configuration "
                       "split by apiserver "
                       "identity.",
                       {"status"});
  return c;
}

// Seals and opens what has its prefix.
class Provider {
 public:
  explicit Provider(std::string prefix) : prefix_(std::move(prefix)) {}
  virtual ~Provider() = default;
  const std::string& prefix() const { return prefix_; }
  virtual Result<std::string> seal(std::string_view key, std::string_view plain) const = 0;
  // `mark`: which of the provider's own keys it was, where it has several.
  virtual Result<std::string> open(std::string_view key, std::string_view data,
                                   std::string* mark) const = 0;
  virtual std::string mark() const = 0;

 private:
  const std::string prefix_;
};

class WithKey final : public Provider {
 public:
  WithKey(ProviderConfig::Kind kind, std::string prefix, std::string secret)
      : Provider(std::move(prefix)),
        kind_(kind),
        secret_(std::move(secret)),
        mark_(this->prefix() + net::hex(net::sha256(secret_)).substr(0, 8)) {}

  Result<std::string> seal(std::string_view key, std::string_view plain) const override {
    if (kind_ == ProviderConfig::Kind::kAesGcm) return encryption::gcm_seal(secret_, key, plain);
    if (kind_ == ProviderConfig::Kind::kAesCbc) return encryption::cbc_seal(secret_, plain);
    return encryption::secretbox_seal(secret_, plain);
  }
  Result<std::string> open(std::string_view key, std::string_view data,
                           std::string* mark) const override {
    *mark = mark_;
    if (kind_ == ProviderConfig::Kind::kAesGcm) return encryption::gcm_open(secret_, key, data);
    if (kind_ == ProviderConfig::Kind::kAesCbc) return encryption::cbc_open(secret_, data);
    return encryption::secretbox_open(secret_, data);
  }
  std::string mark() const override { return mark_; }

 private:
  const ProviderConfig::Kind kind_;
  const std::string secret_, mark_;
};

class Identity final : public Provider {
 public:
  Identity() : Provider("") {}
  Result<std::string> seal(std::string_view, std::string_view plain) const override {
    return std::string(plain);
  }
  Result<std::string> open(std::string_view, std::string_view data,
                           std::string* mark) const override {
    mark->clear();
    if (data.starts_with(kSealedPrefix)) {
      return Status::internal("identity transformer tried to read encrypted data");
    }
    return std::string(data);
  }
  std::string mark() const override { return ""; }
};

class Envelope final : public Provider {
 public:
  Envelope(const std::string& name, std::shared_ptr<Kms> kms)
      : Provider("k8s:enc:kms:v2:" + name + ":"), kms_(std::move(kms)) {}
  Result<std::string> seal(std::string_view key, std::string_view plain) const override {
    return kms_->seal(key, plain);
  }
  Result<std::string> open(std::string_view key, std::string_view data,
                           std::string* mark) const override {
    std::string id;
    auto out = kms_->open(key, data, &id);
    *mark = prefix() + id;
    return out;
  }
  std::string mark() const override { return prefix() + kms_->key_id(); }

 private:
  std::shared_ptr<Kms> kms_;
};

using Providers = std::vector<std::shared_ptr<const Provider>>;

// A configuration as it acts. Immutable.
struct Rules {
  std::string text_digest;
  std::map<GroupResource, Providers> of;
  std::vector<std::shared_ptr<Kms>> kms;

  // Null: stored as it is.
  const Providers* find(const GroupResource& r) const {
    for (const GroupResource& wanted : {r, GroupResource{r.group, "*"}, GroupResource{"*", "*"}}) {
      if (auto at = of.find(wanted); at != of.end()) return &at->second;
    }
    return nullptr;
  }
};

void add_providers(const ProviderConfig& c, Rules& rules, Providers& into) {
  using Kind = ProviderConfig::Kind;
  if (c.kind == Kind::kIdentity) {
    into.push_back(std::make_shared<Identity>());
  } else if (c.kind == Kind::kKms) {
    encryption::KmsOptions o;
    o.name = c.name;
    o.socket = c.socket;
    o.timeout = c.timeout;
    rules.kms.push_back(std::make_shared<Kms>(std::move(o)));
    into.push_back(std::make_shared<Envelope>(c.name, rules.kms.back()));
  } else {
    const std::string name = c.kind == Kind::kAesGcm   ? "aesgcm"
                             : c.kind == Kind::kAesCbc ? "aescbc"
                                                       : "secretbox";
    for (const encryption::Key& key : c.keys) {
      into.push_back(std::make_shared<WithKey>(c.kind, "k8s:enc:" + name + ":v1:" + key.name + ":",
                                               key.secret));
    }
  }
}

// Where built-in kinds lie, by their path below /registry/ ("secrets", "services/specs").
const std::map<std::string, GroupResource, std::less<>>& built_in() {
  static const auto* const all = [] {
    auto* out = new std::map<std::string, GroupResource, std::less<>>;
    for (const KindDesc* kind : all_kinds()) {
      const KindDesc* stored = kind->facts->stored ? kind->facts->stored : kind;
      std::string_view path = stored->facts->key_prefix;
      constexpr std::string_view kRoot = "/registry/";
      if (!path.starts_with(kRoot)) continue;
      path.remove_prefix(kRoot.size());
      while (path.ends_with('/')) path.remove_suffix(1);
      out->try_emplace(std::string(path),
                       GroupResource{std::string(stored->group), std::string(stored->plural)});
    }
    return out;
  }();
  return *all;
}

// Whose object a key is: a built-in kind's by its path, else a custom one's, GROUP/RESOURCE.
GroupResource resource_of(std::string_view key) {
  constexpr std::string_view kRoot = "/registry/";
  if (!key.starts_with(kRoot)) return {};
  key.remove_prefix(kRoot.size());
  const size_t first = key.find('/');
  if (first == std::string_view::npos) return {};
  const size_t second = key.find('/', first + 1);
  const auto& known = built_in();
  if (second != std::string_view::npos) {
    if (auto at = known.find(key.substr(0, second)); at != known.end()) return at->second;
  }
  if (auto at = known.find(key.substr(0, first)); at != known.end()) return at->second;
  if (second == std::string_view::npos) return {};
  return {std::string(key.substr(0, first)),
          std::string(key.substr(first + 1, second - first - 1))};
}

std::string without_prefix(const Status& s) {
  constexpr std::string_view kPrefix = "Internal error occurred: ";
  std::string_view text = s.message();
  if (text.starts_with(kPrefix)) text.remove_prefix(kPrefix.size());
  return std::string(text);
}

std::string text_of(const GroupResource& r) {
  return r.group.empty() ? r.resource : r.resource + "." + r.group;
}

class Configured final : public Encryption {
 public:
  explicit Configured(Options options) : options_(std::move(options)) {}

  Status load() {
    TRY_ASSIGN(text, read_file(options_.file, kMostConfig));
    const std::string digest = net::sha256(text);
    if (auto now = rules_.load(); now && now->text_digest == digest) return {};
    TRY_ASSIGN(config, encryption::parse_config(options_.file, std::move(text)));
    auto fresh = std::make_shared<Rules>();
    fresh->text_digest = digest;
    for (const encryption::ResourceConfig& c : config) {
      Providers providers;
      for (const ProviderConfig& p : c.providers) add_providers(p, *fresh, providers);
      for (const GroupResource& r : c.resources) {
        Providers& all = fresh->of[r];
        all.insert(all.end(), providers.begin(), providers.end());
      }
    }
    // A change that nobody could write under is none; at the start the plug-in may come later.
    if (rules_.load()) {
      for (const auto& kms : fresh->kms) TRY(kms->health());
    }
    for (const auto& kms : fresh->kms) {
      kms->on_healthy([told = told_] { told->tell(); });
    }
    rules_.store(std::move(fresh));
    told_->tell();
    return {};
  }

  Result<Sealed> seal(std::string_view key, Bytes plain) override {
    auto rules = rules_.load();
    const GroupResource resource = resource_of(key);
    const Providers* providers = rules->find(resource);
    if (!providers) return Sealed{std::move(plain), ""};
    const Provider& by = *providers->front();
    if (by.prefix().empty()) return Sealed{std::move(plain), ""};
    const auto start = std::chrono::steady_clock::now();
    std::string mark = by.mark();
    auto sealed = by.seal(key, *plain);
    observe(resource, "to_storage", by.prefix(), sealed.status(), start);
    if (!sealed.ok()) return sealed.status();
    return Sealed{std::make_shared<const std::string>(by.prefix() + *sealed), std::move(mark)};
  }

  Result<Opened> open(std::string_view key, Bytes stored) override {
    auto rules = rules_.load();
    const bool sealed = stored->starts_with(kSealedPrefix);
    if (!sealed) return Opened{std::move(stored), ""};  // under whichever rules: it is plain
    const GroupResource resource = resource_of(key);
    const Providers* providers = rules->find(resource);
    Status why = Status::internal("unable to transform key " + quoted(key) +
                                  ": identity transformer tried to read encrypted data");
    if (!providers) return why;
    why = Status::internal("unable to transform key " + quoted(key) + ": no matching prefix found");
    for (const auto& p : *providers) {
      if (p->prefix().empty() || !stored->starts_with(p->prefix())) continue;
      std::string mark;
      const auto start = std::chrono::steady_clock::now();
      auto plain = p->open(key, std::string_view(*stored).substr(p->prefix().size()), &mark);
      observe(resource, "from_storage", p->prefix(), plain.status(), start);
      if (plain.ok()) {
        return Opened{std::make_shared<const std::string>(std::move(*plain)), std::move(mark)};
      }
      why = Status(plain.status().reason(), "unable to transform key " + quoted(key) + ": " +
                                                without_prefix(plain.status()));
    }
    return why;
  }

  std::string mark(std::string_view key) const override {
    auto rules = rules_.load();
    const Providers* providers = rules->find(resource_of(key));
    return providers ? providers->front()->mark() : "";
  }

  void on_change(std::function<void()> fn) override { told_->set(std::move(fn)); }

  Status health() const override {
    auto rules = rules_.load();
    std::string all;
    for (size_t i = 0; i < rules->kms.size(); ++i) {
      Status s = rules->kms[i]->health();
      if (s.ok()) continue;
      all += (all.empty() ? "" : ", ") + ("kms-provider-" + std::to_string(i) + ": ") + s.message();
    }
    return all.empty() ? Status() : Status::unavailable(all);
  }
  bool has_kms() const override { return !rules_.load()->kms.empty(); }

  Status reload() override {
    auto before = rules_.load();
    Status s = load();
    if (!s.ok() || rules_.load() != before) {
      reloads_total().with({s.ok() ? "success" : "failure"}).add();
    }
    return s;
  }

  Task<void> run(Context ctx) override {
    if (!options_.reload) co_return;
    std::string last;
    for (;;) {
      Status slept = co_await ctx.sleep(kLook);
      if (!slept.ok()) co_return;
      auto before = rules_.load();
      // Key management services are asked: not on a loop.
      auto look = [this] { return reload(); };
      Status s = co_await run_blocking(&ctx.loop(), look);
      if (s.ok() && rules_.load() != before) {
        log::info("Encryption configuration loaded anew", {{"file", options_.file}});
      }
      if (!s.ok() && s.message() != last) {
        log::error("Encryption configuration not loaded: that from before holds", {{"err", s}});
      }
      last = s.ok() ? "" : s.message();
    }
  }

 private:
  // Whoever wants to be told; shared with the services' threads.
  struct Told {
    void set(std::function<void()> f) {
      std::lock_guard lock(mutex);
      fn = std::move(f);
    }
    void tell() {
      std::lock_guard lock(mutex);
      if (fn) fn();
    }
    std::mutex mutex;
    std::function<void()> fn;
  };

  static void observe(const GroupResource& r, const char* type, const std::string& prefix,
                      const Status& outcome, std::chrono::steady_clock::time_point start) {
    const std::string resource = text_of(r);
    operations_total().with({resource, outcome.ok() ? "OK" : "unknown", type, prefix}).add();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    durations().with({resource, type, prefix}).observe(took.count());
  }

  const Options options_;
  std::atomic<std::shared_ptr<const Rules>> rules_;
  std::shared_ptr<Told> told_ = std::make_shared<Told>();
};

}  // namespace

Result<std::shared_ptr<Encryption>> Encryption::from_file(Options options) {
  const std::string file = options.file;
  auto out = std::make_shared<Configured>(std::move(options));
  Status s = out->load();
  if (!s.ok()) return s.with_prefix("--encryption-provider-config");
  return std::shared_ptr<Encryption>(std::move(out));
}

}  // namespace keles
