// What the service keeps beyond a request, and where: in memory, or in a data directory, where it survives restarts.
//
//   DIR/quern.db   the database (store/database.h)
//   DIR/files/     contents of files, one each, named by their ids
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "api/batch_store.h"
#include "api/errors.h"
#include "api/file_store.h"
#include "api/file_upload.h"
#include "api/kept_items.h"
#include "api/limits.h"
#include "base/status.h"

namespace quern::api {

struct Storage {
  std::shared_ptr<KeptItems> kept;
  // Null without a data directory: files do not belong in memory, and a batch that a restart loses is none.
  std::shared_ptr<FileStore> files;
  std::shared_ptr<BatchStore> batches;
  std::string owner_salt;  // of KeyCheck::OwnerOf, made with the storage
  std::shared_ptr<UploadCount> uploads = std::make_shared<UploadCount>();
};

// What is said where they are null.
ApiError NeedsDataDir();

// data_dir: made when it is not there; empty = in memory. Errors: those of store::Database::Open and Migrate, with the
// directory's name.
Result<Storage> OpenStorage(const std::filesystem::path& data_dir, const Limits& limits);

}  // namespace quern::api
