/* The word count's hot loops. */
#ifndef TASKSPRINT_PIECES_H
#define TASKSPRINT_PIECES_H
#endif
