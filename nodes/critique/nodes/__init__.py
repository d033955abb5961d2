"""The nodes of this room."""
from .art_critique import ArtCritique
from .caption_folder import CaptionFolder
from .compare_versions import CompareVersions
from .critique_gallery import CritiqueGallery
from .critique_reference import CritiqueReference
from .learned_score import LearnedScore
from .rank_images import RankImages
from .vision import DescribeImage, VisionCritic

__all__ = ["ArtCritique", "CaptionFolder", "CompareVersions", "CritiqueGallery", "CritiqueReference", "DescribeImage",
           "LearnedScore", "RankImages", "VisionCritic"]
