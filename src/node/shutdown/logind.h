// Who tells that the machine is about to go down, and lets it wait for us: systemd's logind, over
// the system's bus (https://systemd.io/INHIBITOR_LOCKS/); an interface, for tests.
//
// One loop, one caller.
#pragma once

#include <memory>
#include <string>

#include "base/context.h"
#include "base/task.h"

namespace keles::node {

class ShutdownNotice {
 public:
  virtual ~ShutdownNotice() = default;
  // Connects anew; what was held is let go.
  virtual Task<Status> connect(Context ctx) = 0;
  // For how long a shutdown waits at most, whoever asks for it.
  virtual Task<Result<Duration>> longest_delay(Context ctx) = 0;
  // Asks for a longer one; it may take a moment to be in force.
  virtual Task<Status> extend_delay(Context ctx, Duration most) = 0;
  // From now on a shutdown waits until release().
  virtual Task<Status> hold(Context ctx) = 0;
  virtual void release() = 0;
  // Waits for the next word: true, the machine goes down; false, it does not after all.
  virtual Task<Result<bool>> next(Context ctx) = 0;
};

// `socket`: of the system's bus. `configuration`: the directory of logind's, where 99-kubelet.conf
// is written when its delay is too short.
std::unique_ptr<ShutdownNotice> make_logind(
    std::string socket, std::string configuration = "/etc/systemd/logind.conf.d");

}  // namespace keles::node
