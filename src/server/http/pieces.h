// A list on its way out, in pieces: each is encoded when the one before has been taken, so that a
// long list costs neither memory nor the loop's time all at once.
#pragma once

#include <string>

#include "machinery/object.h"
#include "server/http/encode.h"
#include "server/registry/registry.h"

namespace keles::server {

class ListPieces {
 public:
  // About the size of a piece; an object that is larger is a piece by itself.
  static constexpr size_t kBytes = 128 * 1024;

  ListPieces(const KindDesc& kind, registry::ListPage page, const Rendering& rendering);

  bool done() const { return done_; }
  // Finds out some of what has to be known before the first piece (the lengths of all items, where
  // the form begins with their sum); true once there is no more of it.
  bool prepare();
  // The next piece; the first begins the answer, the last ends it.
  Parts next();

 private:
  void append(std::string& out, const ObjectPtr& object) const;
  Part joined(const ObjectStretch& stretch) const;
  Parts next_stretches();
  size_t item_limit() const;
  void frame_text();
  void frame_protobuf();
  void measure();

  const KindDesc& kind_;
  registry::ListPage page_;
  Rendering r_;
  std::string before_, after_;
  std::string between_;  // two items
  size_t at_ = 0;
  size_t measured_ = 0, raw_ = 0;  // items or stretches, and their bytes
  bool framed_ = false, begun_ = false, done_ = false;
};

}  // namespace keles::server
