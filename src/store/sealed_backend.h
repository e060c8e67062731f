// SealedBackend: a backend whose values are sealed (transformer.h) beneath a replica that knows
// plain values only. What is written is sealed before it is committed; what the backend tells is
// opened before the replica hears of it, but for this process' own writes, whose plain value it
// still has.
//
// A value that does not open is told as it is stored: the replica counts it among what cannot be
// read. It is tried again when the transformer says that something has changed (a key management
// service came back, a configuration has another key).
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/backend.h"
#include "store/sealing.h"
#include "store/transformer.h"

namespace keles {

class SealedBackend final : public Backend, public Sealing, private Follower {
 public:
  SealedBackend(std::unique_ptr<Backend> inner, std::shared_ptr<Transformer> transformer);
  ~SealedBackend() override;
  SealedBackend(const SealedBackend&) = delete;

  void watch(Follower& follower) override;
  Task<Result<Committed>> commit(Context ctx, Transaction t) override;
  Task<Result<int64_t>> read(Context ctx) override { return inner_->read(std::move(ctx)); }
  bool shared() const override { return inner_->shared(); }
  Status writable() const override { return inner_->writable(); }
  bool stale(std::string_view key) const override;
  Sealer sealer() const override;
  Task<Status> close(Context ctx) override { return inner_->close(std::move(ctx)); }

 private:
  struct Own;
  struct Life;
  void restart(Contents contents) override;
  void apply(std::vector<Change> changes, int64_t revision) override;
  // The values of the changes opened; what did not open is noted.
  void open_all(std::vector<Change>& changes);
  void note(const Change& c, const Result<Transformer::Opened>& opened);
  void set_mark(const std::string& key, std::string mark);
  void try_again();

  const std::shared_ptr<Transformer> transformer_;
  Follower* follower_ = nullptr;
  std::mutex stream_;  // the stream's, and who tries again
  std::map<std::string, Change> closed_;
  int64_t revision_ = 0;
  mutable std::mutex marks_mutex_;
  // Of values that are sealed: with what. Only looked up.
  std::unordered_map<std::string, std::shared_ptr<const std::string>> marks_;
  std::map<std::string, std::shared_ptr<const std::string>, std::less<>> known_marks_;
  std::shared_ptr<Life> life_;
  std::unique_ptr<Backend> inner_;
};

}  // namespace keles
