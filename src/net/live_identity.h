// Who this program is towards others, exchanged while connections are made with it: certificates
// are renewed under a running server. Any thread.
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include "net/http.h"

namespace keles::net {

class LiveIdentity {
 public:
  explicit LiveIdentity(TlsIdentity identity)
      : identity_(std::make_shared<const TlsIdentity>(std::move(identity))) {}
  // Whole: a certificate and the key of it. For connections from now on.
  std::shared_ptr<const TlsIdentity> get() const {
    std::lock_guard lock(mutex_);
    return identity_;
  }
  void set(TlsIdentity identity) {
    auto next = std::make_shared<const TlsIdentity>(std::move(identity));
    std::lock_guard lock(mutex_);
    identity_ = std::move(next);
  }

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsIdentity> identity_;
};

}  // namespace keles::net
