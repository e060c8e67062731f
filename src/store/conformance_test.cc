// What every backend must do (conformance.h), by those of this process.
#include "store/conformance.h"

#include "base/temporary_directory.h"
#include "store/replica.h"
#include "store/sim/fan_out.h"
#include "store/sim/shared_backend.h"
#include "store/sim/sim_store.h"
#include "store/store.h"

namespace keles::store_test {
namespace {

class Embedded final : public Subject {
 public:
  Embedded() : loop_(make_real_loop()) { reopen(); }
  ~Embedded() override { store_.reset(); }
  Loop& loop() override { return *loop_; }
  void reopen() override {
    store_.reset();
    auto opened = open_embedded_store({directory_.path() + "/a/b"});
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    store_ = std::move(*opened);
  }
  void drive(std::function<bool()> done) override {
    poll(std::move(done));
    loop_->run();
  }

 private:
  void poll(std::function<bool()> done) {
    if (done()) return loop_->stop();
    loop_->schedule(loop_->now() + 100us, [this, done] { poll(done); });
  }
  std::unique_ptr<RealLoop> loop_;
  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-store");
};

class Simulated final : public Subject {
 public:
  Simulated() : loop_(1), disk_(loop_) { reopen(); }
  Loop& loop() override { return loop_; }
  void reopen() override {
    store_.reset();
    store_ = std::move(*open_sim_store(disk_));
  }
  void drive(std::function<bool()> done) override { ASSERT_TRUE(loop_.run_until(done, 1h)); }

 private:
  SimLoop loop_;
  SimDisk disk_;
};

// Nothing of it is local: other replicas might write, and its changes are told late.
class SharedByOthers final : public Subject {
 public:
  SharedByOthers() : loop_(1), server_(loop_) { reopen(); }
  ~SharedByOthers() override { store_.reset(); }
  Loop& loop() override { return loop_; }
  void reopen() override {
    store_.reset();
    store_ = std::make_unique<Replica>(ReplicaOptions(), std::make_unique<SharedBackend>(server_));
  }
  void drive(std::function<bool()> done) override { ASSERT_TRUE(loop_.run_until(done, 1h)); }

 private:
  SimLoop loop_;
  SharedServer server_;
};

// One of several replicas of what is on a disk, each told late.
class FannedOut final : public Subject {
 public:
  FannedOut() : loop_(1), disk_(loop_) {
    lag_.way_max = 2ms;
    lag_.news_max = 20ms;
    reopen();
  }
  ~FannedOut() override { store_.reset(); }
  Loop& loop() override { return loop_; }
  void reopen() override {
    store_.reset();
    fan_out_.reset();
    fan_out_ = std::make_unique<FanOut>(loop_, std::move(*open_sim_backend(disk_)));
    store_ = std::make_unique<Replica>(ReplicaOptions(), fan_out_->follower(&lag_));
  }
  void drive(std::function<bool()> done) override { ASSERT_TRUE(loop_.run_until(done, 1h)); }

 private:
  SimLoop loop_;
  SimDisk disk_;
  Lag lag_;
  std::unique_ptr<FanOut> fan_out_;
};

INSTANTIATE_TEST_SUITE_P(
    Backends, StoreConformance,
    testing::Values(
        std::pair<const char*, MakeSubject>(
            "Embedded", [] { return std::unique_ptr<Subject>(std::make_unique<Embedded>()); }),
        std::pair<const char*, MakeSubject>(
            "Simulated", [] { return std::unique_ptr<Subject>(std::make_unique<Simulated>()); }),
        std::pair<const char*, MakeSubject>(
            "Shared", [] { return std::unique_ptr<Subject>(std::make_unique<SharedByOthers>()); }),
        std::pair<const char*, MakeSubject>(
            "FannedOut", [] { return std::unique_ptr<Subject>(std::make_unique<FannedOut>()); })),
    [](const auto& info) { return info.param.first; });

}  // namespace
}  // namespace keles::store_test
