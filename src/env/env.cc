#include "env/env.h"

namespace rutile {

Status WriteFileAtomically(FileSystem& files, const std::string& directory, const std::string& name,
                           std::string_view contents) {
  const std::string path = directory + "/" + name;
  const std::string temporary = path + ".new";
  RUTILE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, files.Create(temporary));
  RUTILE_RETURN_IF_ERROR(file->WriteAt(0, contents));
  RUTILE_RETURN_IF_ERROR(file->Sync());
  RUTILE_RETURN_IF_ERROR(files.Rename(temporary, path));
  return files.SyncDirectory(directory);
}

}  // namespace rutile
