#include "store/encryption/kms.h"

#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "api/kms_v2.h"
#include "base/context.h"
#include "base/encoding.h"
#include "base/log.h"
#include "base/recurring.h"
#include "base/sync.h"
#include "base/task.h"
#include "machinery/codec_protobuf.h"
#include "machinery/validation.h"
#include "net/grpc.h"
#include "net/pki.h"
#include "store/encryption/ciphers.h"

namespace keles::encryption {
namespace {

namespace v2 = api::kms_v2;

constexpr const char* kService = "/v2.KeyManagementService/";
constexpr const char* kSeedType = "HKDF_SHA256_XNONCE_AES_GCM_SEED";
constexpr size_t kSeed = 32, kMostKeyId = 1024, kMostSource = 1024, kMostAnnotations = 32 * 1024;
constexpr size_t kMostSeeds = 10'000;  // known ones: a few for each key and start of a server
constexpr size_t kMostMessage = 1u << 20;
constexpr Duration kFineHolds = 20s, kBadHolds = 3s;

template <class Edit>
std::string send(const Draft<Edit>& message) {
  return encode_protobuf(Edit::descriptor(), message.value());
}

std::string decoded(std::string_view base64) {
  auto bytes = base64_decode(base64);
  return bytes.ok() ? std::move(*bytes) : std::string();
}

Status check_key_id(std::string_view id) {
  if (id.empty()) return Status::internal("keyID is empty");
  if (id.size() <= kMostKeyId) return {};
  return Status::internal("keyID is " + std::to_string(id.size()) +
                          " bytes, which exceeds the max size of " + std::to_string(kMostKeyId));
}

// What is stored of a seed beside each value.
struct Source {
  std::string type = kSeedType, key_id, encrypted;
  std::map<std::string, std::string> annotations;

  Status check() const {
    if (type != kSeedType && type != "AES_GCM_KEY") {
      return Status::internal("unknown encryptedDEKSourceType");
    }
    if (encrypted.empty()) {
      return Status::internal(
          "failed to validate encrypted DEK source: encrypted DEK source is "
          "empty");
    }
    if (encrypted.size() > kMostSource) {
      return Status::internal("failed to validate encrypted DEK source: encrypted DEK source is " +
                              std::to_string(encrypted.size()) +
                              " bytes, which exceeds the max size of " +
                              std::to_string(kMostSource));
    }
    if (Status s = check_key_id(key_id); !s.ok()) {
      return Status::internal("failed to validate key id: " + s.message());
    }
    size_t total = 0;
    for (const auto& [key, value] : annotations) {
      total += key.size() + value.size();
      if (!check_dns1123_subdomain(key).empty() || key.find('.') == std::string::npos) {
        return Status::internal("failed to validate annotations: " + quoted(key) +
                                " is no fully qualified domain name");
      }
    }
    if (total <= kMostAnnotations) return {};
    return Status::internal("failed to validate annotations: their total size is " +
                            std::to_string(total) + ", which exceeds the max size of " +
                            std::to_string(kMostAnnotations));
  }
  // One text for all of it, none of two sources the same.
  std::string text() const {
    std::string out;
    auto add = [&out](std::string_view s) {
      out.append(std::to_string(s.size())).append(":").append(s);
    };
    add(type);
    add(key_id);
    add(encrypted);
    for (const auto& [key, value] : annotations) {
      add(key);
      add(value);
    }
    return out;
  }
};

struct Seed {
  Source source;
  std::string plain;
  TimePoint until;  // sealing
};

void write_annotations(const MapEdit& into, const std::map<std::string, std::string>& from) {
  for (const auto& [key, value] : from) into.set(key, base64_encode(value));
}
std::map<std::string, std::string> read_annotations(const Map<std::string_view>& from) {
  std::map<std::string, std::string> out;
  for (auto entry : from) out[std::string(entry.key)] = decoded(entry.value);
  return out;
}

}  // namespace

struct Kms::State : std::enable_shared_from_this<State> {
  explicit State(KmsOptions o) : options(std::move(o)), loop(make_real_loop()) {}

  const KmsOptions options;
  std::unique_ptr<RealLoop> loop;
  std::thread thread;
  // Of the thread alone.
  std::unique_ptr<net::GrpcChannel> channel;
  Event asked;  // to look now
  Recurring told;
  std::string version;

  mutable std::mutex mutex;
  std::shared_ptr<const Seed> seed;          // to seal by; null: none yet
  std::map<std::string, std::string> known;  // seeds by their sources' text
  Status last = Status::unavailable("it has not been asked yet");
  TimePoint answered{};
  bool asking = false;
  std::function<void()> healthy;

  Task<Result<Document>> call(Context ctx, std::string method, const TypeDesc* answer,
                              std::string message) {
    Context limit = ctx.with_timeout(options.timeout);
    auto got = co_await channel->unary(limit, kService + method, std::move(message), kMostMessage);
    if (!got.ok()) {
      // It did not answer; or it did, and this one thing is what it cannot do.
      const Reason why = got.status().reason();
      const bool silent = why == Reason::kUnavailable || why == Reason::kTimeout ||
                          why == Reason::kOutcomeUnknown || why == Reason::kCancelled;
      if (silent) co_return Status::unavailable(got.status().message());
      co_return Status(why, got.status().message());
    }
    co_return decode_protobuf(*answer, *got);
  }

  void learn(const Source& source, const std::string& plain) {
    std::lock_guard lock(mutex);
    if (known.size() >= kMostSeeds) known.clear();  // they are asked for again
    known[source.text()] = plain;
  }

  // Another seed, of the plug-in's present key.
  Task<Status> make_seed(Context ctx, std::string wanted, TimePoint until) {
    auto fresh = std::make_shared<Seed>();
    fresh->plain = net::random_bytes(kSeed);
    fresh->until = until;
    Draft<v2::EncryptRequestEdit> request;
    request->set_plaintext(base64_encode(fresh->plain));
    request->set_uid(loop->random().uuid());
    auto got = co_await call(ctx, "Encrypt", &v2::EncryptResponse::descriptor(), send(request));
    if (!got.ok()) co_return got.status().with_prefix("failed to encrypt DEK, error");
    const v2::EncryptResponse r(got->root);
    fresh->source.key_id = r.key_id();
    fresh->source.encrypted = decoded(r.ciphertext());
    fresh->source.annotations = read_annotations(r.annotations());
    Status fine = fresh->source.check();
    if (fine.ok() && fresh->source.key_id != wanted) {
      fine = Status::internal("it encrypts by another key than its status names");
    }
    if (!fine.ok()) co_return fine;
    learn(fresh->source, fresh->plain);
    std::lock_guard lock(mutex);
    seed = std::move(fresh);
    co_return Status();
  }

  Task<Status> look(Context ctx) {
    const TimePoint until = loop->now() + options.seed_lifetime;
    auto got = co_await call(ctx, "Status", &v2::StatusResponse::descriptor(), "");
    if (!got.ok()) {
      co_return Status::unavailable(
          "failed to perform status section of the healthz check for KMS Provider " + options.name +
          ", error: " + got.status().message());
    }
    const v2::StatusResponse r(got->root);
    std::string wrong;
    auto complain = [&wrong](const std::string& what) {
      wrong += (wrong.empty() ? "" : "; ") + what;
    };
    if (r.healthz() != "ok") complain("got unexpected healthz status: " + std::string(r.healthz()));
    if (r.version() != "v2" && r.version() != "v2beta1") {
      complain("expected KMSv2 API version v2, got " + std::string(r.version()));
    } else {
      if (version.empty()) version = r.version();
      if (version != r.version()) {
        complain("KMSv2 API version should not change after the initial status response version " +
                 version + ", got " + std::string(r.version()));
      }
    }
    const std::string id(r.key_id());
    if (Status s = check_key_id(id); !s.ok()) {
      complain("got invalid KMSv2 KeyID: " + s.message());
    } else {
      bool same = false;
      {
        std::lock_guard lock(mutex);
        same = seed && seed->source.key_id == id;
        if (same) {
          auto longer = std::make_shared<Seed>(*seed);
          longer->until = until;
          seed = std::move(longer);
        }
      }
      if (!same) {
        Status s = co_await make_seed(ctx, id, until);
        if (!s.ok()) complain("failed to rotate DEK: " + s.message());
      }
    }
    if (wrong.empty()) co_return Status();
    co_return Status::unavailable("kmsv2 Provider " + options.name +
                                  " is not healthy, error: " + wrong);
  }

  Task<void> run(Context ctx, std::shared_ptr<std::promise<void>> first) {
    net::Endpoint endpoint;
    endpoint.host = "unix:" + options.socket;
    channel = net::GrpcChannel::create(*loop, endpoint);
    while (!ctx.done()) {
      Status s = co_await look(ctx);
      if (!s.ok() && told.news(loop->now(), s.message())) {
        log::warn("Key management service", {{"name", options.name}, {"err", s}});
      }
      if (s.ok()) told.over();
      std::function<void()> call_healthy;
      {
        std::lock_guard lock(mutex);
        if (s.ok() && !last.ok()) call_healthy = healthy;
        last = s;
        answered = loop->now();
        asking = false;
      }
      if (call_healthy) call_healthy();
      if (first) first->set_value();
      first.reset();
      const Duration pause = s.ok() ? options.fine_interval : options.bad_interval;
      asked.reset();
      Context wait = ctx.with_timeout(pause);
      Status woken = co_await asked.wait(wait);
      (void)woken;
    }
    channel.reset();
    // The connection's own tasks end in turns of the loop that come after this one: stopped at
    // once, it would leave them, and all that they hold, behind with each reload.
    Context last_turns = Context::root(*loop);
    Status slept = co_await last_turns.sleep(20ms);
    (void)slept;
    loop->stop();
  }

  Task<void> decrypt(Context ctx, Source source,
                     std::shared_ptr<std::promise<Result<std::string>>> to) {
    Draft<v2::DecryptRequestEdit> request;
    request->set_ciphertext(base64_encode(source.encrypted));
    request->set_uid(loop->random().uuid());
    request->set_key_id(source.key_id);
    write_annotations(request->edit_annotations(), source.annotations);
    auto got = co_await call(ctx, "Decrypt", &v2::DecryptResponse::descriptor(), send(request));
    if (!got.ok()) {
      if (got.status().is(Reason::kUnavailable)) {
        // The next good answer is then one of a service that came back: what did not open is tried
        // again.
        std::lock_guard lock(mutex);
        last = got.status();
      }
      to->set_value(got.status().with_prefix("failed to decrypt DEK, error"));
      co_return;
    }
    to->set_value(decoded(v2::DecryptResponse(got->root).plaintext()));
  }

  std::optional<Context> running;  // of the thread; made before it starts
};

Kms::Kms(KmsOptions options) : state_(std::make_shared<State>(std::move(options))) {
  auto first = std::make_shared<std::promise<void>>();
  std::future<void> done = first->get_future();
  Context root = Context::root(*state_->loop);
  state_->running = root.child();
  spawn(*state_->loop, state_->run(*state_->running, first));
  state_->thread = std::thread([s = state_.get()] { s->loop->run(); });
  (void)done.wait_for(state_->options.timeout * 2);
}

Kms::~Kms() {
  state_->loop->post([s = state_] { s->running->cancel(); });
  state_->thread.join();
}

Result<std::string> Kms::seal(std::string_view bound, std::string_view plain) const {
  std::shared_ptr<const Seed> seed;
  Status last;
  {
    std::lock_guard lock(state_->mutex);
    seed = state_->seed;
    last = state_->last;
  }
  if (!seed) {
    return Status::internal("there is no key of KMS Provider " + state_->options.name + ": " +
                            last.message());
  }
  if (state_->loop->now() > seed->until) {
    return Status::internal("the key of KMS Provider " + state_->options.name +
                            " has expired: " + last.message());
  }
  Draft<v2::EncryptedObjectEdit> o;
  o->set_encrypted_data(base64_encode(extended_seal(seed->plain, bound, plain)));
  o->set_key_id(seed->source.key_id);
  o->set_encrypted_dek_source(base64_encode(seed->source.encrypted));
  write_annotations(o->edit_annotations(), seed->source.annotations);
  o->set_encrypted_dek_source_type(seed->source.type);
  return send(o);
}

Result<std::string> Kms::open(std::string_view bound, std::string_view data, std::string* key_id) {
  TRY_ASSIGN(doc, decode_protobuf(v2::EncryptedObject::descriptor(), data));
  const v2::EncryptedObject o(doc.root);
  Source source;
  if (!o.encrypted_dek_source_type().empty()) source.type = o.encrypted_dek_source_type();
  if (!doc.root.find("encryptedDEKSourceType")) source.type = "AES_GCM_KEY";  // proto3's zero
  source.key_id = o.key_id();
  source.encrypted = decoded(o.encrypted_dek_source());
  source.annotations = read_annotations(o.annotations());
  const std::string sealed = decoded(o.encrypted_data());
  if (sealed.empty()) return Status::internal("encrypted data is empty");
  TRY(source.check());
  *key_id = source.key_id;
  std::string plain;
  {
    std::lock_guard lock(state_->mutex);
    if (auto at = state_->known.find(source.text()); at != state_->known.end()) plain = at->second;
  }
  if (plain.empty()) {
    auto answer = std::make_shared<std::promise<Result<std::string>>>();
    std::future<Result<std::string>> done = answer->get_future();
    state_->loop->post(
        [s = state_, source, answer] { spawn(*s->loop, s->decrypt(*s->running, source, answer)); });
    if (done.wait_for(state_->options.timeout + 1s) != std::future_status::ready) {
      return Status::unavailable("KMS Provider " + state_->options.name + " does not answer");
    }
    Result<std::string> got = done.get();
    if (!got.ok()) return got.status();
    plain = std::move(*got);
    const bool fits = source.type == kSeedType
                          ? plain.size() >= kSeed
                          : plain.size() == 16 || plain.size() == 24 || plain.size() == 32;
    if (!fits) {
      return Status::internal("invalid seed length " + std::to_string(plain.size()) +
                              " used for key generation");
    }
    state_->learn(source, plain);
  }
  return source.type == kSeedType ? extended_open(plain, bound, sealed)
                                  : gcm_open(plain, bound, sealed);
}

std::string Kms::key_id() const {
  std::lock_guard lock(state_->mutex);
  return state_->seed ? state_->seed->source.key_id : "";
}

Status Kms::health() const {
  std::lock_guard lock(state_->mutex);
  const Duration age = state_->loop->now() - state_->answered;
  if (age > (state_->last.ok() ? kFineHolds : kBadHolds) && !state_->asking) {
    state_->asking = true;
    state_->loop->post([s = state_] { s->asked.set(); });
  }
  return state_->last;
}

void Kms::on_healthy(std::function<void()> fn) {
  std::lock_guard lock(state_->mutex);
  state_->healthy = std::move(fn);
}

}  // namespace keles::encryption
