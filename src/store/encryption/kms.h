// A key management service (KMS v2, k8s.io/kms/apis/v2): a plug-in on a unix socket that encrypts a
// seed of ours. Values are sealed under keys derived from the seed, and carry it in its encrypted
// form, so that the plug-in is asked once a seed and not once a value.
//
// It has a thread of its own, which asks the plug-in how it is, once a minute, or every ten seconds
// while something is wrong, and makes another seed when the plug-in has another key. Without a good
// answer for three minutes nothing is sealed any more; what is known opens for ever.
//
// Threads: any. open() waits for the plug-in, at most the timeout, where it meets a seed for the
// first time; the others wait for nobody.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/loop.h"
#include "base/status.h"

namespace keles::encryption {

struct KmsOptions {
  std::string name, socket;
  Duration timeout = 3s;
  // How long a good and a bad answer hold, and how long sealing goes on without a good one.
  Duration fine_interval = 60s, bad_interval = 10s, seed_lifetime = 180s;
};

class Kms {
 public:
  // Asks it once before it returns; a plug-in that does not answer is asked again by itself.
  explicit Kms(KmsOptions options);
  ~Kms();
  Kms(const Kms&) = delete;

  // An EncryptedObject. Errors: there is no seed, or it is too old.
  Result<std::string> seal(std::string_view bound, std::string_view plain) const;
  // kUnavailable: the plug-in could not be asked.
  Result<std::string> open(std::string_view bound, std::string_view data, std::string* key_id);
  // The key that sealing goes by now; "": none.
  std::string key_id() const;
  // The last answer, asked for again by itself when it is old (20 s; 3 s when it was bad).
  Status health() const;
  // `fn` is called, on its thread, whenever it becomes healthy.
  void on_healthy(std::function<void()> fn);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace keles::encryption
